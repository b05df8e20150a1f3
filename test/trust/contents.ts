/** What files hold after random operations through real mounts, one and two, against a model (contents-program.ts). */
import { join } from 'node:path';
import { introduce, openLab, run, untilLive } from '../e2e/lab.ts';

export interface ContentsOptions {
  readonly seeds: readonly number[];
  /** Of each seed, over all modes. */
  readonly operations: number;
  readonly timeoutMs: number;
}

const PROGRAM = join(import.meta.dirname, 'contents-program.js');
const FILES = 12;
/** Part of the operations, mounts, files. */
const MODES = [
  ['one mount', 0.4, 1, FILES],
  ['two mounts', 0.4, 2, FILES],
  ['two mounts, one file', 0.2, 2, 1],
] as const;

/** Two nodes, one over TCP and one over KCP, mount a folder of a third. @throws on any difference. */
export async function compareContents(
  { seeds, operations, timeoutMs }: ContentsOptions,
  say: (line: string) => void,
): Promise<readonly string[]> {
  const lab = openLab(['bob', 'alice', 'carol']);
  try {
    const [bob, alice, carol] = [lab.host('bob'), lab.host('alice'), lab.host('carol')];
    await bob.start();
    for (const [guest, paths] of [
      [alice, 'tcp'],
      [carol, 'udp'],
    ] as const) {
      await guest.start(['--paths', paths]);
      await introduce(bob, guest);
      await guest.mount();
    }
    const seen: string[] = [];
    for (const seed of seeds) {
      for (const [name, part, mounts, files] of MODES) {
        const guests = [alice, carol].slice(0, mounts);
        const count = Math.ceil(operations * part);
        const share = `s${seed}-${mounts}-${files}`;
        await run(['mkdir', join(bob.files, share)]);
        await bob.json(['share', join(bob.files, share), '--name', share, '--write']);
        for (const guest of guests) await untilLive(guest, 'bob');
        const places = guests.map((guest) => guest.at('bob', share));
        const argv = [process.execPath, PROGRAM, String(seed), String(count), String(files), ...places];
        const done = await run(argv, { timeoutMs });
        if (done.status !== 0) throw new Error(`${name}: exit ${done.status} after ${done.ms} ms: ${done.stderr}`);
        const { compared } = JSON.parse(done.stdout) as { readonly compared: number };
        const line = `${name}, seed ${seed}: ${count} operations, ${compared} contents compared, no difference, ${(done.ms / 1000).toFixed(0)} s`;
        say(line);
        seen.push(line);
        await bob.json(['unshare', share]);
      }
    }
    return seen;
  } finally {
    await lab.close();
  }
}
