import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { openUdpPort, sameAddress, type UdpAddress, type UdpPort } from '../../src/net/udp-port.ts';

interface Arrival {
  readonly bytes: Uint8Array;
  readonly from: UdpAddress;
}

interface Listening {
  readonly port: UdpPort;
  readonly arrivals: Arrival[];
  /** Resolves when so many datagrams have come; rejects after two seconds. */
  received(count: number): Promise<readonly Arrival[]>;
}

async function listen(plain: boolean, host: string): Promise<Listening> {
  const arrivals: Arrival[] = [];
  let check = (): void => undefined;
  const port = await openUdpPort({
    host,
    port: 0,
    plain,
    onDatagram(datagram, from) {
      arrivals.push({ bytes: datagram.slice(), from });
      check();
    },
  });
  return {
    port,
    arrivals,
    received: (count) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${arrivals.length} of ${count} datagrams`)), 2_000);
        check = () => {
          if (arrivals.length < count) return;
          clearTimeout(timer);
          resolve(arrivals);
        };
        check();
      }),
  };
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some((entry) => entry.address === '::1'));

for (const plain of [false, true]) {
  const kind = plain ? 'plain' : 'batched';

  test(`${kind}: a datagram arrives whole, with its sender's address`, async () => {
    const a = await listen(plain, '127.0.0.1');
    const b = await listen(plain, '127.0.0.1');
    try {
      a.port.send(Uint8Array.of(1, 2, 3), b.port.address);
      const [first] = await b.received(1);
      assert.deepEqual([...(first?.bytes ?? [])], [1, 2, 3]);
      assert.deepEqual(first?.from, a.port.address);
      assert.ok(sameAddress(first.from, a.port.address));
    } finally {
      await Promise.all([a.port.close(), b.port.close()]);
    }
  });

  test(`${kind}: a batch arrives as single datagrams, the last one shorter`, async () => {
    const a = await listen(plain, '127.0.0.1');
    const b = await listen(plain, '127.0.0.1');
    try {
      const batch = new Uint8Array(43 * 1_452 + 17);
      for (let i = 0; i < batch.length; i++) batch[i] = Math.trunc(i / 1_452);
      a.port.sendBatch(batch, 1_452, b.port.address);
      batch.fill(255); // it is ours again
      const arrivals = await b.received(44);
      assert.deepEqual(
        arrivals.map(({ bytes }) => bytes.length),
        [...new Array<number>(43).fill(1_452), 17],
      );
      assert.ok(arrivals.every(({ bytes }, i) => bytes.every((byte) => byte === i)));
      assert.equal(a.port.statistics.datagramsSent, 44);
    } finally {
      await Promise.all([a.port.close(), b.port.close()]);
    }
  });

  test(`${kind}: '::' hears IPv4 and IPv6 and shows IPv4 in dotted form`, async () => {
    const both = await listen(plain, '::');
    const four = await listen(plain, '127.0.0.1');
    const six = hasIpv6 ? await listen(plain, '::1') : undefined;
    try {
      const { port } = both.port.address;
      four.port.send(Uint8Array.of(4), { host: '127.0.0.1', port });
      const [first] = await both.received(1);
      assert.equal(first?.from.host, '127.0.0.1');
      both.port.send(Uint8Array.of(44), first.from);
      assert.equal((await four.received(1))[0]?.bytes[0], 44);
      if (six !== undefined) {
        six.port.send(Uint8Array.of(6), { host: '::1', port });
        const second = (await both.received(2))[1];
        assert.equal(second?.from.host, '::1');
        both.port.send(Uint8Array.of(66), second.from);
        assert.equal((await six.received(1))[0]?.bytes[0], 66);
      }
    } finally {
      await Promise.all([both.port.close(), four.port.close(), six?.port.close()]);
    }
  });

  test(`${kind}: what cannot be sent is counted and disturbs nothing`, async () => {
    const a = await listen(plain, '127.0.0.1');
    try {
      a.port.send(new Uint8Array(10), { host: '127.0.0.1', port: 1 });
      a.port.send(new Uint8Array(70_000), a.port.address);
      a.port.send(new Uint8Array(10), { host: '255.255.255.255', port: 9 });
      a.port.send(Uint8Array.of(7), a.port.address);
      assert.equal((await a.received(1))[0]?.bytes[0], 7);
      assert.ok(a.port.statistics.sendsDropped >= 1);
    } finally {
      await a.port.close();
    }
  });

  test(`${kind}: a port that is taken gives ENVIRONMENT`, async () => {
    const a = await listen(plain, '127.0.0.1');
    try {
      await assert.rejects(
        openUdpPort({ ...a.port.address, plain, onDatagram: () => undefined }),
        (error) => error instanceof PeerfsError && error.code === 'ENVIRONMENT',
      );
    } finally {
      await a.port.close();
    }
  });

  test(`${kind}: closing leaves no descriptor behind, and closing twice is the same as once`, async () => {
    await (await listen(plain, '127.0.0.1')).port.close();
    const before = descriptors();
    for (let i = 0; i < 5; i++) {
      const a = await listen(plain, '::');
      a.port.send(Uint8Array.of(1), { host: '127.0.0.1', port: a.port.address.port });
      await a.received(1);
      await Promise.all([a.port.close(), a.port.close()]);
      a.port.send(Uint8Array.of(1), { host: '127.0.0.1', port: a.port.address.port });
    }
    assert.equal(descriptors(), before);
  });
}
