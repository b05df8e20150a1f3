/**
 * Paths come and go under a long copy in both directions and a program that writes and syncs all the time: no
 * operation fails, all bytes arrive, and where a second path stands ready nothing stands still for more than 3 seconds.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { statusOf, watch, withNatLab, type NatLab } from './nat-lab.ts';
import { sh, untilLive } from './lab.ts';

/** Copies argv[1] to argv[2] at argv[3] bytes a second; says how long the longest step took, in milliseconds. */
const COPY = `
import os, sys, time
source, target, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
step, longest, done, begun = 1 << 20, 0, 0, time.monotonic()
with open(source, 'rb', buffering=0) as a, open(target, 'wb', buffering=0) as b:
    while True:
        at = time.monotonic()
        data = a.read(step)
        if not data:
            break
        view = memoryview(data)
        while view:
            view = view[b.write(view):]
        done += len(data)
        longest = max(longest, time.monotonic() - at)
        ahead = begun + done / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
    at = time.monotonic()
    os.fsync(b.fileno())
    longest = max(longest, time.monotonic() - at)
print(longest * 1000)
`;

/** Until its input ends: writes 4 KiB into argv[1] and syncs; says how often, and how long the longest took. */
const SYNC = `
import os, select, sys, time
longest, count = 0, 0
with open(sys.argv[1], 'wb', buffering=0) as file:
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        at = time.monotonic()
        os.pwrite(file.fileno(), bytes([count % 251]) * 4096, count % 64 * 4096)
        os.fsync(file.fileno())
        longest, count = max(longest, time.monotonic() - at), count + 1
print(count, longest * 1000)
`;

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function python(script: string, args: readonly string[]): { result: Promise<number[]>; endInput(): void } {
  const child = spawn('python3', ['-c', script, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  let wrong = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (wrong += chunk.toString()));
  const result = once(child, 'close').then(([code]) => {
    if (code !== 0) throw new Error(`a program failed: ${wrong.slice(-400)}`);
    return said.trim().split(' ').map(Number);
  });
  return { result, endInput: () => child.stdin.end() };
}

/** Runs `changes` under a copy of so many bytes each way. @returns the longest stall of the three programs, milliseconds. */
async function underLoad(lab: NatLab, bytes: number, rate: number, changes: () => Promise<void>): Promise<number> {
  const { alice, bob } = lab;
  const shared = join(alice.files, 'shared');
  mkdirSync(shared);
  await sh('head -c "$1" /dev/urandom > "$2/big"; head -c "$1" /dev/urandom > "$3/big"', [
    String(bytes),
    shared,
    bob.files,
  ]);
  await alice.json(['share', shared, '--to', 'bob']);
  await sh('until [ -e "$1" ]; do sleep 0.1; done', [bob.at('alice', 'shared', 'big')]);
  const copied = join(bob.files, 'copied');
  const out = python(COPY, [join(bob.files, 'big'), bob.at('alice', 'big'), String(rate)]);
  const into = python(COPY, [bob.at('alice', 'shared', 'big'), copied, String(rate)]);
  const sync = python(SYNC, [bob.at('alice', 'synced')]);
  const all = Promise.all([out.result, into.result]);
  // A program that failed is told by `all`, not as a rejection that nobody handles.
  all.catch(() => undefined);
  const watching = watch(bob);
  const begun = Date.now();
  const tell = () => {
    for (const { at, text } of watching.events)
      console.log(`#   ${((Date.parse(at) - begun) / 1000).toFixed(1)} s: ${text}`);
    return watching.close();
  };
  all.then(tell, tell);
  await sleep(2000);
  await changes();
  const [[outMs = NaN], [intoMs = NaN]] = await all;
  sync.endInput();
  const [count = 0, syncMs = NaN] = await sync.result;
  console.log(
    `# path changes: longest stall writing ${outMs.toFixed(0)} ms, reading ${intoMs.toFixed(0)} ms, of ${count} syncs ${syncMs.toFixed(0)} ms`,
  );
  const inbox = join(alice.home, 'inbox', 'bob', 'big');
  await sh('cmp "$1" "$2" && cmp "$3" "$4"', [join(bob.files, 'big'), inbox, join(shared, 'big'), copied]);
  return Math.max(outMs, intoMs, syncMs);
}

test('an address change, 10 s without a network and a peer that restarts fail no operation', async (t) => {
  await withNatLab(t, { nats: ['cone', 'cone'], stun: true, dht: true }, async (lab) => {
    const { alice, bob } = lab;
    await lab.mount(alice);
    await lab.mount(bob);
    await untilLive(bob, 'alice', 'udp');
    await underLoad(lab, 250e6, 8e6, async () => {
      lab.natlab('address', '2', '77');
      console.log('#   2.0 s: address changed; 8.0 cut; 18.0 uncut; 23.0 killed');
      await sleep(6000);
      lab.natlab('cut', '1');
      await sleep(10_000);
      lab.natlab('uncut', '1');
      await sleep(5000);
      process.kill(await alice.pid(), 'SIGKILL');
      await lab.mount(alice);
    });
    assert.equal((await untilLive(bob, 'alice')).path, 'udp');
  });
});

test('where Tor stands ready, a direct path that is cut stalls nothing for more than 3 s', async (t) => {
  await withNatLab(t, { nats: ['toronly', 'toronly'], stun: true, tor: true }, async (lab) => {
    const { alice, bob } = lab;
    await lab.mount(alice);
    await lab.mount(bob);
    await untilLive(bob, 'alice', 'tor', 60_000);
    for (const home of ['1', '2']) lab.natlab('nat', home, 'cone');
    await untilLive(bob, 'alice', 'udp', 40_000);
    const kinds = (await statusOf(bob, 'alice'))?.paths.map(({ kind }) => kind) ?? [];
    assert.ok(kinds.includes('tor'), `Tor stays beside the direct path: ${kinds.join()}`);
    const stallMs = await underLoad(lab, 20e6, 1e6, async () => {
      lab.natlab('block');
      await untilLive(bob, 'alice', 'tor', 10_000);
      await sleep(5000);
      lab.natlab('unblock');
      // Both try every 10 s, and behind two routers a try of one alone is none.
      await untilLive(bob, 'alice', 'udp', 90_000);
    });
    assert.ok(stallMs <= 3000, `${stallMs} ms`);
  });
});
