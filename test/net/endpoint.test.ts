import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { initiate, pairSecret } from '../../src/crypto/handshake.ts';
import { createIdentity, type Identity } from '../../src/crypto/identity.ts';
import { codeOf, type PeerfsError } from '../../src/errors.ts';
import type { Path } from '../../src/net/path.ts';
import type { TokenState } from '../../src/net/peer-book.ts';
import { encodeStruct } from '../../src/wire/codec.ts';
import { HANDSHAKE_REQUEST, PURPOSE } from '../../src/wire/packets.ts';
import { at, KINDS, openEndpointNode, SECRET, withNodes, type EndpointNode, type Kind } from './endpoint-node.ts';

const NEVER = new AbortController().signal;
/** After this a message that gets no answer is taken not to get one. Milliseconds. */
const SILENCE_MS = 300;
const PATIENCE_MS = 5000;

async function until(what: string, holds: () => boolean): Promise<void> {
  const limit = performance.now() + PATIENCE_MS;
  while (!holds()) {
    assert.ok(performance.now() < limit, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function collect(path: Path): string[] {
  const frames: string[] = [];
  path.start({
    frame: (_lane, frame) => frames.push(Buffer.from(frame).toString()),
    writable: () => undefined,
    end: () => undefined,
  });
  return frames;
}

/** Message 1 from `from` to `to` that nothing has been sent of. */
function messageOf(from: Identity, to: EndpointNode, psk: Uint8Array, timestampMs: number): Uint8Array {
  const payload = encodeStruct(HANDSHAKE_REQUEST, {
    timestampMs,
    publicKey: from.publicKey,
    purpose: PURPOSE.known,
    index: 77,
    name: 'raw',
    port: 0,
  });
  return initiate({ identity: from, remotePublicKey: to.identity.publicKey, psk, payload }).message;
}

/** Sends bytes from a plain socket. @returns the number of bytes that came back within a while. */
async function poke(
  node: EndpointNode,
  kind: Kind,
  messages: readonly Uint8Array[],
  host = '127.0.0.77',
): Promise<number> {
  const { address } = node.endpoint;
  let answered = 0;
  if (kind === 'udp') {
    const socket = createSocket('udp4');
    socket.on('message', (datagram) => (answered += datagram.length));
    socket.bind(0, host);
    await once(socket, 'listening');
    for (const message of messages) socket.send(message, address.port, address.host);
    await new Promise((resolve) => setTimeout(resolve, SILENCE_MS));
    socket.close();
    return answered;
  }
  const sockets = await Promise.all(
    messages.map(async (message) => {
      const socket = connect({ ...address, localAddress: host });
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => (answered += chunk.length));
      await once(socket, 'connect');
      socket.write(message);
      return socket;
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, SILENCE_MS));
  for (const socket of sockets) socket.destroy();
  return answered;
}

for (const kind of KINDS) {
  test(`${kind}: peers that know each other get a path`, async () => {
    await withNodes(2, async (a, b) => {
      const { path, name } = await a.endpoint.connect(at(b, kind, SECRET), NEVER);
      assert.equal(name, 'node at 127.0.0.2');
      const atA = collect(path);
      path.send(0, [Buffer.from('from a')]);
      await until('b has a path', () => b.arrived.length === 1);
      assert.equal(b.arrived[0]?.peerId, a.peerId);
      const atB = collect(b.arrived[0].path);
      b.arrived[0].path.send(1, [Buffer.from('from b')]);
      await until('frames', () => atA.length === 1 && atB.length === 1);
      assert.deepEqual([atA, atB], [['from b'], ['from a']]);
      const { port } = a.endpoint.address;
      assert.deepEqual(b.book.addresses(a.peerId), [{ kind, host: '127.0.0.1', port }]);
    });
  });

  test(`${kind}: an invitation makes strangers peers with the same secret`, async () => {
    await withNodes(3, async (_a, b, c) => {
      const token = randomBytes(16);
      b.book.putToken({ inviteId: 'i', token, state: 'open' });
      const { path } = await c.endpoint.connect(at(b, kind, token, 'invitation'), NEVER);
      collect(path);
      path.send(0, [Buffer.from('hello')]);
      await until('b has a path', () => b.arrived.length === 1);
      assert.deepEqual(b.joined, [c.peerId]);
      const secret = pairSecret(token, c.identity, b.identity.publicKey);
      assert.deepEqual(b.book.peer(c.peerId)?.pairSecret, secret);
      // Its answer may be lost: the same peer may come again, and then as a known one.
      (await c.endpoint.connect(at(b, kind, token, 'invitation'), NEVER)).path.close();
      (await c.endpoint.connect(at(b, kind, secret), NEVER)).path.close();
    });
  });

  test(`${kind}: a peer that has lost everything but its keys is taken back by a new invitation`, async () => {
    await withNodes(2, async (a, b) => {
      const token = randomBytes(16);
      b.book.putToken({ inviteId: 'i', token, state: 'open' });
      (await a.endpoint.connect(at(b, kind, token, 'invitation'), NEVER)).path.close();
      assert.deepEqual(b.book.peer(a.peerId)?.pairSecret, pairSecret(token, a.identity, b.identity.publicKey));
    });
  });

  test(`${kind}: who proves an invitation that is no longer good hears why`, async () => {
    await withNodes(3, async (_a, b, c) => {
      const states: readonly [TokenState, string][] = [
        ['used', 'INVITE_USED'],
        ['revoked', 'INVITE_REVOKED'],
        ['expired', 'INVITE_EXPIRED'],
      ];
      for (const [state, code] of states) {
        const token = randomBytes(16);
        b.book.putToken({ inviteId: state, token, state });
        await assert.rejects(
          c.endpoint.connect(at(b, kind, token, 'invitation'), NEVER),
          (error: PeerfsError) => error.code === code,
        );
      }
      assert.deepEqual([b.joined, b.arrived], [[], []]);
    });
  });

  test(`${kind}: a wrong secret, an unknown peer and noise get silence`, async () => {
    await withNodes(2, async (a, b) => {
      const now = Date.now();
      const wrong = [
        messageOf(a.identity, b, randomBytes(32), now),
        messageOf(createIdentity(), b, SECRET, now),
        messageOf(a.identity, a, SECRET, now), // Meant for somebody else.
        ...[1, 28, 42, 100, 600, 1200].map((length) => randomBytes(length)),
      ];
      assert.equal(await poke(b, kind, wrong), 0);
      assert.deepEqual([b.arrived, b.joined], [[], []]);
    });
  });

  test(`${kind}: a handshake that is played back gets silence`, async () => {
    await withNodes(2, async (a, b) => {
      const message = messageOf(a.identity, b, SECRET, Date.now());
      assert.ok((await poke(b, kind, [message])) > 0);
      assert.equal(await poke(b, kind, [message]), 0);
      assert.equal(await poke(b, kind, [messageOf(a.identity, b, SECRET, Date.now() - 60_000)]), 0);
    });
  });

  test(`${kind}: dialling is given up when it is no longer wanted`, async () => {
    await withNodes(1, async (a) => {
      const abort = new AbortController();
      const target = { ...at(a, kind, SECRET), publicKey: createIdentity().publicKey };
      const dialling = a.endpoint.connect(target, abort.signal);
      abort.abort();
      await assert.rejects(dialling, (error: PeerfsError) => error.code === 'CANCELLED');
    });
  });
}

test('of a hundred who come with one invitation at once, one is let in and the others hear that it was used', async () => {
  const creator = await openEndpointNode('127.0.0.1', ['udp']);
  const guests = await Promise.all(
    Array.from({ length: 100 }, (_, i) => openEndpointNode(`127.0.1.${i + 1}`, ['udp'])),
  );
  try {
    const token = randomBytes(16);
    creator.book.putToken({ inviteId: 'i', token, state: 'open' });
    const outcomes = await Promise.all(
      guests.map(({ endpoint }) =>
        endpoint.connect(at(creator, 'udp', token, 'invitation'), NEVER).then(
          () => 'in',
          (error: unknown) => codeOf(error),
        ),
      ),
    );
    assert.equal(outcomes.filter((outcome) => outcome === 'in').length, 1);
    assert.equal(outcomes.filter((outcome) => outcome === 'INVITE_USED').length, 99);
    // One whose answer was slow may have asked again.
    assert.equal(new Set(creator.book.redemptions.map(({ peerId }) => peerId)).size, 1);
  } finally {
    await Promise.all([creator, ...guests].map(({ endpoint }) => endpoint.close()));
  }
});

test('noise in the name of a peer does not keep that peer out', async () => {
  await withNodes(2, async (a, b) => {
    const noise = Array.from({ length: 2000 }, (_, i) => randomBytes(i % 1400));
    assert.equal(await poke(b, 'udp', noise, '127.0.0.1'), 0);
    const { datagramsDropped, handshakesLimited } = b.endpoint.counters;
    assert.ok(datagramsDropped > 100, `${datagramsDropped} dropped`);
    assert.equal(handshakesLimited, 0);
    const began = performance.now();
    (await a.endpoint.connect(at(b, 'udp', SECRET), NEVER)).path.close();
    assert.ok(performance.now() - began < 200, 'the first handshake was not answered');
  });
});

test('handshakes that prove nothing are looked at only so often, and peers elsewhere still get in', async () => {
  await withNodes(2, async (a, b) => {
    const stranger = createIdentity();
    const messages = Array.from({ length: 100 }, () => messageOf(stranger, b, randomBytes(32), Date.now()));
    assert.equal(await poke(b, 'udp', messages), 0);
    assert.ok(b.endpoint.counters.handshakesLimited >= 50, `${b.endpoint.counters.handshakesLimited} limited`);
    (await a.endpoint.connect(at(b, 'udp', SECRET), NEVER)).path.close();
  });
});

test('one source with many connections half open does not keep others out', async () => {
  await withNodes(2, async (a, b) => {
    const sockets: Socket[] = [];
    try {
      for (let i = 0; i < 300; i++) {
        const socket = connect({ ...b.endpoint.address, localAddress: '127.0.0.66' });
        socket.on('error', () => undefined);
        sockets.push(socket);
        await once(socket, 'connect');
      }
      (await a.endpoint.connect(at(b, 'tcp', SECRET), NEVER)).path.close();
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });
});

test('dialling that is under way ends with the endpoint', async () => {
  await withNodes(1, async (a) => {
    const target = { ...at(a, 'udp', SECRET), publicKey: createIdentity().publicKey };
    const dialling = assert.rejects(
      a.endpoint.connect(target, NEVER),
      (error: PeerfsError) => error.code === 'CANCELLED',
    );
    await a.endpoint.close();
    await dialling;
  });
});

test('UDP and TCP share one port', async () => {
  await withNodes(1, async (a) => {
    const socket = connect(a.endpoint.address);
    await once(socket, 'connect');
    socket.destroy();
    const other = createSocket('udp4');
    other.bind(a.endpoint.address.port, a.endpoint.address.host);
    const [error] = (await once(other, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'EADDRINUSE');
    other.close();
  });
});
