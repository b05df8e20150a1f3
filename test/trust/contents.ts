/** What files hold after random operations through real mounts, one and two, against a model (contents-program.ts). */
import { join } from 'node:path';
import { introduce, openLab, run, untilLive } from '../e2e/lab.ts';

export interface ContentsOptions {
  readonly seeds: readonly number[];
  /** Of each seed. */
  readonly operations: number;
  readonly timeoutMs: number;
}

const PROGRAM = join(import.meta.dirname, 'contents-program.js');
const FILES = 12;

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
      for (const [name, guests, files] of [
        ['one mount', [alice], FILES],
        ['two mounts', [alice, carol], FILES],
        ['two mounts, one file', [alice, carol], 1],
      ] as const) {
        const share = `s${seed}-${guests.length}-${files}`;
        await run(['mkdir', join(bob.files, share)]);
        await bob.json(['share', join(bob.files, share), '--name', share, '--write']);
        for (const guest of guests) await untilLive(guest, 'bob');
        const places = guests.map((guest) => guest.at('bob', share));
        const argv = [process.execPath, PROGRAM, String(seed), String(operations), String(files), ...places];
        const done = await run(argv, { timeoutMs });
        if (done.status !== 0) throw new Error(`${name}: exit ${done.status} after ${done.ms} ms: ${done.stderr}`);
        const { compared } = JSON.parse(done.stdout) as { readonly compared: number };
        const line = `${name}, seed ${seed}: ${operations} operations, ${compared} contents compared, no difference, ${(done.ms / 1000).toFixed(0)} s`;
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
