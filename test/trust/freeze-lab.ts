/**
 * The laboratory of frozen peers: alice mounts, bob is silenced and let speak again, carol stays well. Owns the ways of
 * silencing; what is checked meanwhile stands in frozen-peer.ts.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { introduce, openLab, run, untilLive, type Host, type Lab } from '../e2e/lab.ts';
import { prepareFolder, prepareFolders } from './callers.ts';

/** How the peer comes to be silent: its process is stopped, its event loop is busy, or its words come a byte a second. */
export type Means = 'stopped' | 'blocked' | 'trickling';

export interface FreezeLab {
  readonly lab: Lab;
  readonly alice: Host;
  readonly bob: Host;
  readonly carol: Host;
  readonly patienceMs: number;
  readonly means: Means;
  freeze(): void;
  thaw(): void;
  /** A fresh folder for callers. @param isApart each has its own in it. @returns its place in alice's mount. */
  folder(isApart?: boolean): string;
  close(): Promise<void>;
}

export interface FreezeOptions {
  /** Undefined: the default, 15 s. */
  readonly patienceMs?: number;
  /** Default: stopped. `trickling` needs network namespaces. */
  readonly means?: Means;
}

const TRICKLE_PORT = 41_700;
const PROGRAMS = import.meta.dirname;

export async function openFreezeLab({ patienceMs, means = 'stopped' }: FreezeOptions = {}): Promise<FreezeLab> {
  const lab = openLab(['alice', 'bob', 'carol', ...(means === 'trickling' ? ['proxy'] : [])], means !== 'trickling');
  const ends: (() => void)[] = [];
  const close = async (): Promise<void> => {
    for (const end of ends.splice(0)) end();
    await lab.close();
  };
  try {
    const [alice, bob, carol] = [lab.host('alice'), lab.host('bob'), lab.host('carol')];
    if (patienceMs !== undefined) appendFileSync(join(alice.home, 'config'), `patienceMs = ${patienceMs}\n`);
    const flags = means === 'trickling' ? ['--paths', 'tcp'] : [];
    const block = join(lab.directory, 'block');
    await alice.start(flags);
    await carol.start(flags);
    const started = await bob.peerfs(['start', '--listen', `${bob.address}:0`, '--no-lan', ...flags], {
      env: { NODE_OPTIONS: `--import=${join(PROGRAMS, 'blocked-loop.js')}`, PEERFS_TEST_BLOCK: block },
    });
    assert.equal(started.status, 0, started.stderr);
    const pid = await bob.pid();
    const say = means === 'trickling' ? await startTrickle(lab, ends) : undefined;
    const silence: Readonly<Record<Means, { freeze(): void; thaw(): void }>> = {
      stopped: {
        freeze: () => void process.kill(pid, 'SIGSTOP'),
        thaw: () => void process.kill(pid, 'SIGCONT'),
      },
      blocked: {
        freeze() {
          writeFileSync(block, '');
          process.kill(pid, 'SIGUSR2');
        },
        thaw: () => rmSync(block, { force: true }),
      },
      trickling: { freeze: () => say?.('trickle'), thaw: () => say?.('open') },
    };
    const { freeze, thaw } = silence[means];
    ends.unshift(thaw);
    await introduce(bob, alice);
    await introduce(carol, alice);
    await alice.mount();
    await untilLive(alice, 'bob');
    await untilLive(alice, 'carol');
    let folders = 0;
    return {
      lab,
      alice,
      bob,
      carol,
      patienceMs: patienceMs ?? 15_000,
      means,
      freeze,
      thaw,
      folder(isApart = false) {
        folders += 1;
        (isApart ? prepareFolders : prepareFolder)(join(bob.home, 'inbox', 'alice', `folder${folders}`));
        return alice.at('bob', `folder${folders}`);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Has all that alice says to bob go through a proxy, and bob unable to call her. @returns sends the proxy a line. */
async function startTrickle(lab: Lab, ends: (() => void)[]): Promise<(line: string) => void> {
  const [alice, bob, proxy] = [lab.host('alice'), lab.host('bob'), lab.host('proxy')];
  const { listening } = (await bob.json(['status'])) as { readonly listening: readonly string[] };
  const port = listening[0]?.split(':').at(-1) ?? '';
  const [program = '', ...args] = [
    ...proxy.enter,
    process.execPath,
    join(PROGRAMS, 'trickle-program.js'),
    ...[proxy.address, String(TRICKLE_PORT), bob.address, port],
  ];
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  ends.push(() => void child.kill('SIGKILL'));
  child.stdin.on('error', () => undefined);
  await once(child.stdout, 'data');
  const rules = [
    `-t nat -A OUTPUT -p tcp -d ${bob.address} --dport ${port} -j DNAT --to-destination ${proxy.address}:${TRICKLE_PORT}`,
    `-A INPUT -p tcp -s ${bob.address} --syn -j DROP`,
  ];
  for (const rule of rules) {
    const { status, stderr } = await run([...alice.enter, 'iptables', ...rule.split(' ')]);
    assert.equal(status, 0, stderr);
  }
  return (line) => void child.stdin.write(`${line}\n`);
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
