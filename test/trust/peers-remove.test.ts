/** `peerfs peers remove` ends it: at once, for good, and in silence. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync, mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { initiate } from '../../src/crypto/handshake.ts';
import { codeOf } from '../../src/errors.ts';
import { encodeStruct } from '../../src/wire/codec.ts';
import { HANDSHAKE_REQUEST, PURPOSE } from '../../src/wire/packets.ts';
import { eventually, introduce, openLab, peerOf, run, sh, untilLive, type Host } from '../e2e/lab.ts';
import { joinRaw, type RawPeer } from './raw-peer.ts';
import { openHostileSession } from './hostile-session.ts';
import { createRandom } from '../wire/samples.ts';

/** "At once", with a command's start and two nodes on a busy machine. */
const AT_ONCE_MS = 2000;
const SILENCE_MS = 1500;
const PORT = 41_777;

/** What comes back for a handshake that is as good as it can be, bytes. */
async function answerTo({ identity, publicKey, pairSecret, node }: RawPeer): Promise<number> {
  let heard = 0;
  const message = (after: number): Uint8Array => {
    const timestampMs = Date.now() + after;
    const fields = { timestampMs, publicKey: identity.publicKey, purpose: PURPOSE.known, index: 7, name: 'm', port: 1 };
    return initiate({
      identity,
      remotePublicKey: publicKey,
      psk: pairSecret,
      payload: encodeStruct(HANDSHAKE_REQUEST, fields),
    }).message;
  };
  const udp = createSocket('udp4').bind(0, '127.0.0.1');
  await once(udp, 'listening');
  udp.on('message', ({ length }) => (heard += length));
  udp.send(message(1000), node.port, node.host);
  const tcp = connect(node);
  tcp.on('error', () => undefined);
  tcp.on('data', ({ length }) => (heard += length));
  await once(tcp, 'connect');
  tcp.write(message(2000));
  await new Promise((resolve) => setTimeout(resolve, SILENCE_MS));
  udp.close();
  tcp.destroy();
  return heard;
}

describe('peers remove', { timeout: 120_000 }, () => {
  for (const kind of ['udp', 'tcp'] as const) {
    it(`ends a session by ${kind} at once, and what knocks afterwards hears nothing, also after a restart`, async () => {
      const lab = openLab(['alice'], true);
      const alice = lab.host('alice');
      let mallory: RawPeer | undefined;
      try {
        await alice.start(['--listen', `127.0.0.1:${PORT}`]);
        mallory = await joinRaw(alice, 'mallory');
        assert.ok((await answerTo(mallory)) > 0, 'a peer is answered');
        const session = openHostileSession(mallory, [kind], createRandom(19));
        await session.settle();
        const removedAt = performance.now();
        await alice.json(['peers', 'remove', 'mallory']);
        await eventually('the path ends', AT_ONCE_MS, async () => (session.figures.ended > 0 ? true : undefined));
        assert.ok(performance.now() - removedAt < AT_ONCE_MS);
        session.close();
        assert.deepEqual(await alice.json(['peers']), []);
        for (const each of ['udp', 'tcp'] as const) {
          assert.notEqual(await mallory.connect(each).then(() => 'in', codeOf), 'in');
        }
        assert.equal(await answerTo(mallory), 0);
        await alice.peerfs(['stop']);
        await alice.start(['--listen', `127.0.0.1:${PORT}`]);
        assert.equal(await answerTo(mallory), 0);
        assert.deepEqual(await alice.json(['peers']), []);
      } finally {
        await mallory?.close();
        await lab.close();
      }
    });
  }

  it('closes what the peer has open, takes its shares away, and neither side finds the other again on the local network', async () => {
    const lab = openLab(['alice', 'bob']);
    const [alice, bob] = [lab.host('alice'), lab.host('bob')];
    try {
      const folder = join(alice.files, 'work');
      mkdirSync(folder);
      writeFileSync(join(folder, 'large'), Buffer.alloc(4 * 2 ** 20, 'x'));
      for (const host of lab.hosts) await host.start([], true);
      await introduce(alice, bob);
      await alice.json(['share', folder, '--name', 'work', '--to', 'bob', '--write']);
      await bob.mount();
      await untilLive(bob, 'alice');
      const at = bob.at('alice', 'work');
      // Reads a little, again and again, past the kernel's cache, until it fails.
      const script =
        'exec 3<>"$1"; while dd bs=4096 count=1 iflag=direct status=none <&3 >/dev/null; do sleep 0.05; done';
      const reader = spawn('bash', ['-c', script, 'sh', join(at, 'large')], { stdio: 'ignore' });
      const ended = once(reader, 'close');
      await sh('echo before > "$1/note"', [at]);
      await alice.json(['peers', 'remove', 'bob']);
      const removedAt = performance.now();
      await eventually('bob sees alice gone', AT_ONCE_MS, async () =>
        (await peerOf(bob, 'alice'))?.state === 'offline' ? true : undefined,
      );
      const stops = setTimeout(() => reader.kill('SIGKILL'), 10_000);
      const [, signal] = (await ended) as [number | null, string | null];
      clearTimeout(stops);
      assert.equal(signal, null, 'the reader ended by itself');
      assert.ok(performance.now() - removedAt < 2 * AT_ONCE_MS);
      const writing = await run(['bash', '-c', 'echo after > "$1/note"', 'sh', at], { timeoutMs: 10_000 });
      assert.notEqual(writing.status, 0);
      assert.equal(await sh('cat "$1/note"', [folder]), 'before\n');
      const shares = (await alice.json(['shares'])) as { name: string; to?: readonly string[] }[];
      assert.ok(!JSON.stringify(shares).includes('bob'), JSON.stringify(shares));
      const staysGone = async (who: Host): Promise<void> => {
        await new Promise((resolve) => setTimeout(resolve, 3000));
        assert.notEqual((await peerOf(who, 'alice'))?.state, 'live');
        assert.deepEqual(await alice.json(['peers']), []);
      };
      await staysGone(bob);
      for (const host of lab.hosts) await host.peerfs(['stop']);
      for (const host of lab.hosts) await host.start([], true);
      await staysGone(bob);
    } finally {
      await lab.close();
    }
  });
});
