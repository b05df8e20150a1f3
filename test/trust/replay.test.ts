/**
 * One who sits between two peers and doubles, reflects, holds back, plays back and forges: nothing is taken twice, and the
 * address of a peer moves for nobody but the peer. What keys, windows and handshakes do by themselves is in test/crypto.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import type { Path } from '../../src/net/path.ts';
import { at, SECRET, withNodes, type EndpointNode } from '../net/endpoint-node.ts';
import { createRandom } from '../wire/samples.ts';
import type { Address } from './raw-peer.ts';
import { openRelay, type DatagramRelay, type PassingDatagram } from './datagram-relay.ts';

const NEVER = new AbortController().signal;
const SEED = 16;
const FRAMES = 400;
const PATIENCE_MS = 15_000;
/** After this what was not answered will not be. */
const SILENCE_MS = 400;

interface Pair {
  readonly a: EndpointNode;
  readonly b: EndpointNode;
  readonly relay: DatagramRelay;
  readonly paths: readonly [Path, Path];
  readonly came: readonly [string[], string[]];
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

async function until(what: string, holds: () => boolean): Promise<void> {
  const limit = performance.now() + PATIENCE_MS;
  while (!holds()) {
    assert.ok(performance.now() < limit, `never: ${what} (seed ${SEED})`);
    await pause(5);
  }
}

function listen(path: Path): string[] {
  const came: string[] = [];
  path.start({
    frame: (_lane, bytes) => came.push(Buffer.from(bytes).toString()),
    writable: () => undefined,
    end: (reason) => came.push(`ended: ${reason}`),
  });
  return came;
}

/** Two endpoints with a path through a relay, which does with each datagram what `pass` says. */
async function withPair(
  pass: (datagram: PassingDatagram, relay: DatagramRelay) => void,
  run: (pair: Pair) => Promise<void>,
): Promise<void> {
  await withNodes(2, async (a, b) => {
    const relay = await openRelay(b.endpoint.address, pass);
    try {
      const { path } = await a.endpoint.connect({ ...at(b, 'udp', SECRET), ...relay.at }, NEVER);
      const first = listen(path);
      path.send(0, [Buffer.from('hello')]);
      await until('b has a path', () => b.arrived.length > 0);
      const other = b.arrived[0]?.path;
      assert.ok(other !== undefined);
      const second = listen(other);
      await until('the first frame', () => second.length > 0);
      second.length = 0;
      await run({ a, b, relay, paths: [path, other], came: [first, second] });
    } finally {
      relay.close();
    }
  });
}

/** Frames both ways, some at a time. */
async function exchange(
  { paths: [near, far], came: [atNear, atFar] }: Pair,
  what: string,
  count = FRAMES,
): Promise<void> {
  const sent = Array.from({ length: count }, (_, index) => `${what} ${index}`);
  const [hadNear, hadFar] = [atNear.length, atFar.length];
  for (const [index, text] of sent.entries()) {
    near.send(0, [Buffer.from(text)]);
    far.send(0, [Buffer.from(text)]);
    if (index % 20 === 0) await pause(2);
  }
  await until('all frames', () => atNear.length >= hadNear + count && atFar.length >= hadFar + count);
  assert.deepEqual(atNear.slice(hadNear), sent);
  assert.deepEqual(atFar.slice(hadFar), sent);
}

test(`datagrams doubled, played back late and thrown back at their sender do nothing twice (seed ${SEED})`, async () => {
  const random = createRandom(SEED);
  const old: PassingDatagram[] = [];
  const pass = (datagram: PassingDatagram, relay: DatagramRelay): void => {
    old.push(datagram);
    relay.send(datagram.toNode, datagram.bytes);
    relay.send(datagram.toNode, datagram.bytes);
    relay.send(!datagram.toNode, datagram.bytes);
    const late = old[Math.floor(random() * old.length)];
    if (late !== undefined) relay.send(random() < 0.8 ? late.toNode : !late.toNode, late.bytes);
  };
  await withPair(pass, async (pair) => {
    await exchange(pair, 'in trouble');
    // A handshake thrown back is none: nobody is at a's.
    assert.deepEqual(pair.a.arrived, []);
    assert.equal(pair.b.arrived.length, 1, 'the handshake played back made no other path');
    assert.equal(pair.a.endpoint.counters.handshakesRefused + pair.b.endpoint.counters.handshakesRefused, 0);
  });
});

test('a session played back from elsewhere is nothing, and gets nothing', async () => {
  await withPair(
    ({ toNode, bytes }, relay) => relay.send(toNode, bytes),
    async (pair) => {
      const { a, b, relay, paths } = pair;
      await exchange(pair, 'recorded');
      const remotes = paths.map(({ remote }) => remote);
      const forger = createSocket('udp4').bind(0, '127.0.0.99');
      await once(forger, 'listening');
      let heard = 0;
      forger.on('message', () => (heard += 1));
      try {
        for (const { bytes } of relay.recorded) {
          for (const { endpoint } of [a, b]) forger.send(bytes, endpoint.address.port, endpoint.address.host);
        }
        await pause(SILENCE_MS);
        assert.equal(heard, 0);
        assert.deepEqual([a.arrived.length, b.arrived.length], [0, 1]);
        assert.deepEqual(
          paths.map(({ remote }) => remote),
          remotes,
        );
        await exchange(pair, 'afterwards');
      } finally {
        forger.close();
      }
    },
  );
});

test(`who sends a peer's own datagrams on from elsewhere is asked who it is, and the path stays (seed ${SEED})`, async () => {
  const random = createRandom(SEED);
  const forger = createSocket('udp4').bind(0, '127.0.0.99');
  await once(forger, 'listening');
  let steals = false;
  let target: Address | undefined;
  let stolen = 0;
  const asked: Buffer[] = [];
  try {
    await withPair(
      ({ toNode, bytes }, relay) => {
        // It is the only one to carry them: the node hears these from nowhere else.
        if (!steals || !toNode || random() < 0.7) return relay.send(toNode, bytes);
        stolen += 1;
        if (target !== undefined) forger.send(bytes, target.port, target.host);
      },
      async (pair) => {
        target = pair.b.endpoint.address;
        const { address } = pair.b.endpoint;
        forger.on('message', (challenge) => {
          asked.push(challenge);
          // Thrown back, and sent to the peer, who answers to where it thinks that the challenge came from.
          forger.send(challenge, address.port, address.host);
        });
        const before = pair.paths[1].remote;
        steals = true;
        await exchange(pair, 'stolen', 1000);
        assert.ok(stolen > 20 && asked.length > 0, `${stolen} stolen, ${asked.length} challenges`);
        assert.equal(pair.paths[1].remote, before, 'the path has not moved');
        steals = false;
        await exchange(pair, 'afterwards', 50);
      },
    );
  } finally {
    forger.close();
  }
});
