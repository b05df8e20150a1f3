import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { codeOf } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import type { Relay } from '../../src/net/relay.ts';
import type { PortGuest, SharedPort } from '../../src/net/shared-port.ts';
import { createStunClient } from '../../src/net/stun.ts';
import { openRelay } from '../../src/net/turn.ts';
import { parseTurnUrl } from '../../src/net/turn-url.ts';
import { openUdpPort, sameAddress, type UdpAddress } from '../../src/net/udp-port.ts';
import { startCoturn, type Coturn } from './coturn.ts';

const HOST = '127.0.0.1';
let server: Coturn;

before(async () => {
  server = await startCoturn({ listen: HOST, lines: ['stale-nonce=600'] });
});
after(() => server.close());

/** The node's port as the endpoint gives it: who hears from one server alone is asked first. */
async function openShared(): Promise<SharedPort & { close(): Promise<void> }> {
  const guests = new Map<PortGuest, UdpAddress | undefined>();
  const port = await openUdpPort({
    host: HOST,
    port: 0,
    onDatagram(datagram, from) {
      for (const [guest, only] of guests) {
        if ((only === undefined || sameAddress(only, from)) && guest.input(datagram, from)) return;
      }
    },
  });
  return {
    address: port.address,
    send: (datagram, to) => port.send(datagram, to),
    admit(guest, only) {
      guests.set(guest, only);
      return () => guests.delete(guest);
    },
    close: () => port.close(),
  };
}

async function openPeer(): Promise<Socket & { readonly at: UdpAddress }> {
  const socket = createSocket('udp4').bind(0, HOST);
  await once(socket, 'listening');
  return Object.assign(socket, { at: { host: HOST, port: socket.address().port } });
}

const relayAt = (
  port: SharedPort,
  transport: 'udp' | 'tcp',
  { host, port: at, user, password }: Pick<Coturn, 'host' | 'port' | 'user' | 'password'> = server,
): Relay =>
  openRelay({
    server: { host, port: at, transport, username: user, password },
    port,
    resolve: async (name) => [name],
    clock: systemClock,
    randomBytes,
    log: silentLogger,
  });

/** Settles at the next change for which it holds. */
async function until(relay: Relay, holds: () => boolean): Promise<void> {
  if (holds()) return;
  await new Promise<void>((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`not in time: ${relay.fault ?? 'no fault'}`)), 15_000);
    relay.onChange(() => {
      if (!holds()) return;
      clearTimeout(limit);
      resolve();
    });
  });
}

for (const transport of ['udp', 'tcp'] as const) {
  test(`${transport}: datagrams pass by a relay both ways, before and after they have a channel`, async () => {
    const port = await openShared();
    const peer = await openPeer();
    const relay = relayAt(port, transport);
    try {
      await until(relay, () => relay.address !== undefined);
      const arrived: string[] = [];
      relay.onDatagram((datagram, from) => {
        assert.deepEqual(from, peer.at);
        arrived.push(Buffer.from(datagram).toString());
      });
      peer.on('message', (datagram, from) => peer.send(`echo ${datagram.toString()}`, from.port, from.address));
      const sizes: number[] = [];
      peer.on('message', (datagram) => sizes.push(datagram.length));
      for (let i = 0; i < 10; i++) {
        relay.send(Buffer.from(`${i}`), peer.at);
        const want = `echo ${i}`;
        for (let waited = 0; !arrived.includes(want); waited += 5) {
          assert.ok(waited < 5000, `${want} came: ${arrived.join()}`);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }
      const batch = Buffer.alloc(2500, 7);
      relay.sendBatch(batch, 1000, peer.at);
      while (sizes.filter((size) => size >= 500).length < 3) await once(peer, 'message');
      assert.deepEqual(
        sizes.filter((size) => size >= 500).sort((a, b) => a - b),
        [500, 1000, 1000],
      );
    } finally {
      await relay.close();
      peer.close();
      await port.close();
    }
  });
}

test('who was not let through is not heard, who was is', async () => {
  const port = await openShared();
  const peer = await openPeer();
  const relay = relayAt(port, 'udp');
  try {
    await until(relay, () => relay.address !== undefined);
    const { address } = relay;
    assert.ok(address !== undefined);
    const arrived: number[] = [];
    const heard = () => arrived.length;
    relay.onDatagram((datagram) => arrived.push(datagram.length));
    for (let i = 0; i < 3; i++) peer.send('let me in', address.port, address.host);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(heard(), 0);
    relay.permit(HOST);
    for (let i = 0; heard() === 0 && i < 200; i++) {
      peer.send('let me in', address.port, address.host);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.ok(heard() > 0);
  } finally {
    await relay.close();
    peer.close();
    await port.close();
  }
});

test('a wrong password is told in words that do not hold it', async () => {
  const port = await openShared();
  const relay = relayAt(port, 'udp', { ...server, password: 'wrong word' });
  try {
    await until(relay, () => relay.fault !== undefined);
    assert.match(relay.fault ?? '', /user name or the password/);
    assert.doesNotMatch(relay.fault ?? '', /wrong word/);
    assert.equal(relay.address, undefined);
  } finally {
    await relay.close();
    await port.close();
  }
});

test('tcp: a server that went away is told, and used again when it is back', async () => {
  const port = await openShared();
  const first = await startCoturn({ listen: HOST });
  const relay = relayAt(port, 'tcp', first);
  let second: Coturn | undefined;
  try {
    await until(relay, () => relay.address !== undefined);
    await first.kill();
    await until(relay, () => relay.address === undefined);
    assert.match(relay.fault ?? '', /closed the connection|cannot be connected/);
    second = await startCoturn({ listen: HOST, port: first.port });
    await until(relay, () => relay.address !== undefined);
  } finally {
    await relay.close();
    await second?.close();
    await first.close();
    await port.close();
  }
});

test('udp: a server that was restarted is noticed as soon as data goes by it, and gives a new allocation', async () => {
  const port = await openShared();
  const peer = await openPeer();
  const first = await startCoturn({ listen: HOST });
  const relay = relayAt(port, 'udp', first);
  let second: Coturn | undefined;
  const talk = setInterval(() => relay.send(Buffer.from('x'), peer.at), 100);
  try {
    await until(relay, () => relay.address !== undefined);
    await once(peer, 'message');
    await first.kill();
    second = await startCoturn({ listen: HOST, port: first.port });
    await until(relay, () => relay.address === undefined);
    assert.match(relay.fault ?? '', /has lost the allocation/);
    await until(relay, () => relay.address !== undefined);
    await once(peer, 'message');
  } finally {
    clearInterval(talk);
    await relay.close();
    peer.close();
    await second?.close();
    await first.close();
    await port.close();
  }
});

test('a server that comes back only after a while is tried until it does', async () => {
  const port = await openShared();
  const first = await startCoturn({ listen: HOST });
  await first.kill();
  const relay = relayAt(port, 'tcp', first);
  let second: Coturn | undefined;
  try {
    await until(relay, () => relay.fault !== undefined);
    second = await startCoturn({ listen: HOST, port: first.port });
    relay.networkChanged();
    await until(relay, () => relay.address !== undefined);
    assert.equal(relay.fault, undefined);
  } finally {
    await relay.close();
    await second?.close();
    await first.close();
    await port.close();
  }
});

test('the allocation of a node that crashed does not stand in the way of the next on the same port', async () => {
  const port = await openShared();
  const crashed = relayAt(port, 'udp');
  let after: Relay | undefined;
  try {
    await until(crashed, () => crashed.address !== undefined);
    after = relayAt(port, 'udp');
    const { address } = crashed;
    await until(after, () => after?.address !== undefined);
    assert.notDeepEqual(after.address, address);
  } finally {
    await after?.close();
    await crashed.close();
    await port.close();
  }
});

test('a short lifetime and nonces that grow stale do not end an allocation', async () => {
  const port = await openShared();
  const peer = await openPeer();
  const strict = await startCoturn({ listen: HOST, lines: ['stale-nonce=1', 'max-allocate-lifetime=2'] });
  const relay = relayAt(port, 'udp', strict);
  try {
    await until(relay, () => relay.address !== undefined);
    const { address } = relay;
    let changes = 0;
    relay.onChange(() => changes++);
    for (let i = 0; i < 6; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      relay.send(Buffer.from(`${i}`), peer.at);
      await once(peer, 'message');
    }
    assert.equal(changes, 0);
    assert.deepEqual(relay.address, address);
  } finally {
    await relay.close();
    peer.close();
    await strict.close();
    await port.close();
  }
});

test('closing gives the place at the server back', async () => {
  const port = await openShared();
  const strict = await startCoturn({ listen: HOST, lines: ['user-quota=1'] });
  const opened: Relay[] = [];
  try {
    for (let i = 0; i < 3; i++) {
      const relay = relayAt(port, 'udp', strict);
      opened.push(relay);
      await until(relay, () => relay.address !== undefined);
      await relay.close();
      await relay.close();
    }
  } finally {
    for (const relay of opened) await relay.close();
    await strict.close();
    await port.close();
  }
});

test('a STUN server tells where it sees the port; what it was not asked for is not believed', async () => {
  const port = await openShared();
  const client = createStunClient({ port, clock: systemClock, randomBytes });
  try {
    assert.deepEqual(await client.ask({ host: HOST, port: server.port }), { host: HOST, port: port.address.port });
    const nobody = await openPeer();
    nobody.close();
    const pending = client.ask(nobody.at);
    client.close();
    await assert.rejects(pending, (error) => codeOf(error) === 'CANCELLED');
  } finally {
    await port.close();
  }
});

test('addresses of servers are understood as users write them', () => {
  assert.deepEqual(parseTurnUrl('turn:turn.example.org'), { host: 'turn.example.org', port: 3478, transport: 'udp' });
  assert.deepEqual(parseTurnUrl('turn:[2001:db8::1]:99?transport=tcp'), {
    host: '2001:db8::1',
    port: 99,
    transport: 'tcp',
  });
  for (const wrong of ['stun:a', 'turn:', 'turn:a:0', 'turn:a:65536', 'turn:a?transport=sctp', 'turns:a', 'turn:a b']) {
    assert.throws(
      () => parseTurnUrl(wrong),
      (error) => codeOf(error) === 'CONFIG_INVALID',
      wrong,
    );
  }
});
