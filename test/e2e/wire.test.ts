/**
 * What one who reads or writes on the wire learns: every datagram of a pair looks like random bytes, but those of the DHT
 * and of STUN, which are readable by nature and belong to transactions of ours; and whoever proves nothing hears nothing.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeStun } from '../../src/wire/stun.ts';
import { startRecorder, type RecordedDatagram, type Recorder } from './datagram-recorder.ts';
import { STUN_SERVERS, withNatLab, type NatLab } from './nat-lab.ts';
import { sh, untilLive } from './lab.ts';
import { judge } from './wire-judge.ts';

const PROBER = join(import.meta.dirname, 'prober.js');
/** What the router is called at home, where the prober stands. */
const ROUTER = '10.1.0.1';
const ALICE = '10.1.0.2';
const PORT = 41_000;

/** A name that must not be seen. */
const CANARY = 'canary-of-the-wire';
const LOAD_BYTES = 4_000_000;
const IDLE_MS = 12_000;
const RECONNECTIONS = 6;
/** Enough datagrams of each direction for the statistics. */
const LEAST_DATAGRAMS = 2000;
/** Among the first in each direction after a start are a handshake, or its answer. */
const FIRST = 3;
const PROBES = 8000;

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Always the same, and as good as random. */
function stream(label: string, bytes: number): Buffer {
  return createHash('shake256', { outputLength: bytes }).update(label).digest();
}

/** So many datagrams of varied lengths, random but for what `change` does to them. */
function datagrams(count: number, change: (datagram: Buffer, index: number) => void): Buffer[] {
  return Array.from({ length: count }, (_, index) => {
    const length = 80 + (stream(`length ${index}`, 2).readUInt16LE() % 1100);
    const datagram = stream(`datagram ${index}`, length);
    change(datagram, index);
    return datagram;
  });
}

test('the judge passes random bytes, many or few', () => {
  for (const count of [1, 6, 20, 100, 3000]) assert.deepEqual(judge(datagrams(count, () => undefined)), []);
});

for (const [what, count, change] of [
  ['a constant byte', 8, (datagram) => datagram.writeUInt8(4, 0)],
  ['a byte that has few values', 3000, (datagram) => datagram.writeUInt8((datagram[0] ?? 0) & 0xf7, 0)],
  ['a last byte that is constant', 8, (datagram) => datagram.writeUInt8(1, datagram.length - 1)],
  ['a counter', 40, (datagram, index) => datagram.writeUInt32LE(900_000 + index, 12)],
  ['a counter of another byte order', 40, (datagram, index) => datagram.writeUInt32BE(70_000 + 3 * index, 4)],
  ['a clock', 600, (datagram, index) => datagram.writeUInt32LE(1_000_000_000 + index * 5_000_000, 8)],
  ['a length', 40, (datagram) => datagram.writeUInt16BE(datagram.length - 20, 2)],
  ["WireGuard's header", 40, (datagram, index) => Buffer.from([4, 0, 0, 0, 9, 9, 9, 9, index]).copy(datagram)],
  ['a datagram that is sent again', 40, (datagram, index) => datagram.fill(7, 0, index % 20 === 0 ? 80 : 0)],
  ['text', 200, (datagram) => datagram.fill('some text of a file ', 30)],
] as const satisfies readonly (readonly [string, number, (datagram: Buffer, index: number) => unknown])[]) {
  test(`the judge sees ${what}`, () => {
    assert.notDeepEqual(judge(datagrams(count, change)), []);
  });
}

interface Sorted {
  /** Neither STUN nor DHT. */
  readonly sealed: readonly RecordedDatagram[];
  readonly stun: readonly RecordedDatagram[];
  readonly dht: readonly RecordedDatagram[];
  /** Readable, and no answer to what was asked: questions of others, if they are not a fault. */
  readonly unasked: readonly RecordedDatagram[];
}

/** What is readable by nature, by the transactions of ours; all else is to be sealed. */
function sort(recorded: readonly RecordedDatagram[]): Sorted {
  const lists: Record<keyof Sorted, RecordedDatagram[]> = { sealed: [], stun: [], dht: [], unasked: [] };
  const asked = new Set<string>();
  for (const datagram of recorded) {
    const { remote, payload, isOut } = datagram;
    const isStun = STUN_SERVERS.some((server) => server === remote) && decodeStun(payload) !== undefined;
    const transaction = isStun ? payload.toString('hex', 8, 20) : krpcTransaction(payload);
    if (transaction === undefined) {
      lists.sealed.push(datagram);
      continue;
    }
    const question = `${remote} ${transaction}`;
    if (isOut) asked.add(question);
    if (!asked.has(question)) lists.unasked.push(datagram);
    else if (isStun) lists.stun.push(datagram);
    else lists.dht.push(datagram);
  }
  return lists;
}

/** The transaction of a message of the DHT (BEP 5), or undefined if it is none. */
function krpcTransaction(payload: Buffer): string | undefined {
  const text = payload.toString('latin1');
  const found = /1:t(\d{1,2}):/.exec(text);
  if (found === null || !/^d[\s\S]*1:y1:[qre]/.test(text)) return undefined;
  const start = found.index + found[0].length;
  return payload.toString('hex', start, start + Number(found[1]));
}

/** The first in one direction after each of these times. */
function firstAfter(times: readonly number[], sealed: readonly RecordedDatagram[], isOut: boolean): RecordedDatagram[] {
  return times.flatMap((time, index) => {
    const end = times[index + 1] ?? Infinity;
    return sealed.filter((one) => one.isOut === isOut && one.atMs >= time && one.atMs < end).slice(0, FIRST);
  });
}

async function probe(lab: NatLab, known: readonly RecordedDatagram[]): Promise<void> {
  const [program, ...args] = [...lab.enter('nat1'), process.execPath, PROBER, ALICE, String(PORT), String(PROBES)];
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stdin.end(known.map(({ payload }) => `${payload.toString('hex')}\n`).join(''));
  await once(child, 'close');
  const { sent, replies } = JSON.parse(said) as { sent: Record<string, number>; replies: string[] };
  console.log(`# wire: probes ${JSON.stringify(sent)}, replies ${replies.length}`);
  assert.deepEqual(replies, []);
}

/** What strangers ask a node of the DHT or a STUN server, which this is not. */
function questionsOfStrangers(): RecordedDatagram[] {
  const id = `2:id20:${'a'.repeat(20)}`;
  const questions = [
    `d1:ad${id}e1:q4:ping1:t2:aa1:y1:qe`,
    `d1:ad${id}6:target20:${'b'.repeat(20)}e1:q9:find_node1:t2:ab1:y1:qe`,
    `d1:ad${id}9:info_hash20:${'c'.repeat(20)}e1:q9:get_peers1:t2:ac1:y1:qe`,
    `d1:ad${id}6:target20:${'d'.repeat(20)}e1:q3:get1:t2:ad1:y1:qe`,
  ].map((text) => Buffer.from(text, 'latin1'));
  const binding = Buffer.concat([Buffer.from('000100002112a442', 'hex'), Buffer.from('transaction!')]);
  return [...questions, binding].map((payload) => ({ atMs: 0, isOut: false, remote: '', payload }));
}

/**
 * Cold start, idle, load both ways, and the peer's node started again some times; then probes.
 * @returns when the peer's node was started, Unix time in milliseconds.
 */
async function live(lab: NatLab, recorder: Recorder): Promise<readonly number[]> {
  const { alice, bob } = lab;
  const startedAtMs: number[] = [];
  const startAlice = () => alice.mount(['--listen', `[::]:${PORT}`, '--no-lan']);
  await startAlice();
  startedAtMs.push(Date.now());
  await lab.mount(bob);
  await untilLive(bob, 'alice', 'udp');
  await sleep(IDLE_MS);
  const text = join(bob.files, CANARY);
  writeFileSync(text, `${CANARY} says the same again and again. `.repeat(LOAD_BYTES / 55));
  const [there, back] = [bob.at('alice', CANARY), join(bob.files, 'back')];
  await sh('cp "$1" "$2" && cmp "$1" "$2" && cp "$2" "$3" && cmp "$1" "$3"', [text, there, back]);
  for (let count = 0; count < RECONNECTIONS; count += 1) {
    await bob.json(['stop']);
    startedAtMs.push(Date.now());
    await lab.mount(bob);
    await untilLive(bob, 'alice', 'udp');
  }
  // Handshakes and the DHT's and STUN's datagrams all of them, of the rest what is in the judged beginning.
  const { sealed, stun, dht } = sort(recorder.recorded());
  const known = [
    ...questionsOfStrangers(),
    ...[true, false].flatMap((isOut) => firstAfter(startedAtMs, sealed, isOut)),
    ...stun.slice(0, 50),
    ...dht.slice(0, 200),
    ...sealed.slice(0, 300),
  ];
  await probe(lab, known);
  // What it remembers of handshakes outlives it.
  await alice.json(['stop']);
  await startAlice();
  await untilLive(bob, 'alice', 'udp');
  await probe(lab, known);
  await sh('cmp "$1" "$2"', [text, there]);
  return startedAtMs;
}

test('all datagrams of a pair look random, but those of the DHT and STUN; probes get no reply', async (t) => {
  await withNatLab(t, { nats: ['cone', 'cone'], stun: true, dht: true }, async (lab) => {
    lab.natlab('single', '1');
    const recorder = await startRecorder(lab.enter('h1'), 'eth0');
    lab.atEnd(() => recorder.close());
    const startedAtMs = await live(lab, recorder);
    await recorder.close();
    const recorded = recorder.recorded();
    const toRouter = recorded.filter(({ isOut, remote }) => isOut && remote.startsWith(`${ROUTER}:`));
    assert.deepEqual(toRouter, [], 'the prober gets nothing');

    const { sealed, stun, dht, unasked } = sort(recorded.filter(({ remote }) => !remote.startsWith(`${ROUTER}:`)));
    assert.ok(stun.length > 0 && dht.length > 0, `${stun.length} of STUN, ${dht.length} of the DHT`);
    const hosts = new Set(sealed.map(({ remote }) => remote.split(':')[0]));
    // bob's router, and bob's address in his home, which leads nowhere.
    assert.deepEqual(
      [...hosts].filter((host) => host !== '11.77.0.2' && host !== '10.2.0.2'),
      [],
    );
    // Of the DHT we only ask, and say that we do not answer (BEP 43).
    const asked = dht.filter(({ isOut }) => isOut);
    assert.ok(
      asked.every(({ payload }) => payload.includes('1:y1:q') && payload.includes('2:roi1e')),
      'nothing of the DHT is answered',
    );

    for (const isOut of [true, false]) {
      const direction = isOut ? 'out' : 'in';
      const all = sealed.filter((datagram) => datagram.isOut === isOut).map(({ payload }) => payload);
      const first = firstAfter(startedAtMs, sealed, isOut).map(({ payload }) => payload);
      const lengths = new Set(first.map(({ length }) => length)).size;
      console.log(
        `# wire: ${direction}: ${all.length} sealed of ${new Set(all.map(({ length }) => length)).size} lengths; ${first.length} first ones of ${lengths} lengths`,
      );
      assert.ok(all.length >= LEAST_DATAGRAMS, `${all.length} datagrams`);
      assert.deepEqual(judge(all), [], direction);
      assert.deepEqual(judge(first), [], `first ones ${direction}`);
      assert.ok(lengths > RECONNECTIONS, `${lengths} lengths of ${first.length} first ones`);
      assert.ok(!all.some((payload) => payload.includes(CANARY) || payload.includes('alice')), 'no name in clear');
    }
    // Nodes of the DHT that do not mind BEP 43 name our peer, too, as one to ask.
    const atPeer = dht.filter(({ remote }) => hosts.has(remote.split(':')[0])).length;
    console.log(
      `# wire: readable by nature: ${stun.length} of STUN, ${dht.length} of the DHT (${atPeer} to the peer), ${unasked.length} not asked for`,
    );
  });
});
