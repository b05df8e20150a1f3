/** Microseconds an operation of what runs for every datagram and frame. Not part of the gate. */
import { randomBytes } from 'node:crypto';
import { createIdentity } from '../../src/crypto/identity.ts';
import { initiate, respond } from '../../src/crypto/handshake.ts';
import { createSession, indexMaskKey, unmaskIndex } from '../../src/crypto/session.ts';
import { createStream } from '../../src/crypto/stream.ts';
import { sessionKeyPair } from './key-pairs.ts';

function bench(name: string, count: number, bytes: number, run: () => void): void {
  for (let i = 0; i < count / 10; i++) run();
  const start = process.hrtime.bigint();
  for (let i = 0; i < count; i++) run();
  const us = Number(process.hrtime.bigint() - start) / 1000 / count;
  process.stdout.write(
    `${name.padEnd(28)}${us.toFixed(2).padStart(9)} us${(bytes / us).toFixed(0).padStart(8)} MB/s\n`,
  );
}

const alice = createIdentity();
const bob = createIdentity();
const psk = randomBytes(16);
bench('handshake, both sides', 200, 0, () => {
  const initiation = initiate({ identity: alice, remotePublicKey: bob.publicKey, psk, payload: psk });
  const answer = respond(bob, initiation.message)?.complete(psk)?.answer(psk);
  if (answer === undefined || initiation.finish(answer.message) === undefined) throw new Error('handshake failed');
});
const junk = randomBytes(1200);
bench('stranger refused', 20_000, 0, () => void respond(bob, junk));

for (const size of [64, 1400]) {
  const [ours, theirs] = sessionKeyPair();
  const maskKey = indexMaskKey(theirs.localDhPublicKey);
  const a = createSession({ keys: ours, localIndex: 1, remoteIndex: 2, now: 0 });
  const b = createSession({ keys: theirs, localIndex: 2, remoteIndex: 1, now: 0 });
  const plain = randomBytes(size);
  const out = Buffer.alloc(2000);
  bench(`seal datagram ${size}`, 100_000, size, () => void a.sealDatagram(plain, out, 0));
  const sealed = out.subarray(0, a.sealDatagram(plain, out, 0));
  bench(`unmask index`, 100_000, size, () => void unmaskIndex(maskKey, sealed));
  bench(`seal and open datagram ${size}`, 100_000, size, () => {
    a.sealDatagram(plain, out, 0);
    if (b.openDatagram(sealed) === undefined) throw new Error('does not open');
  });
  a.close();
  b.close();
}

for (const size of [64, 1024, 2048, 3072, 4096, 8192, 65_536, 262_144]) {
  const [ours] = sessionKeyPair();
  const a = createStream({ keys: ours, maxFrameBytes: 2 ** 20, now: 0 });
  const pieces = [randomBytes(32), randomBytes(size - 32)];
  const count = Math.ceil(200_000_000 / (size + 8000));
  bench(`seal frame ${size}`, count / 4, size, () => void a.sealFrame(pieces));
  a.close();
}

for (const [size, chunk] of [
  [1024, 65_536],
  [262_144, 65_536],
  [262_144, 300_000],
] as const) {
  const [ours, theirs] = sessionKeyPair();
  const a = createStream({ keys: ours, maxFrameBytes: 2 ** 20, now: 0 });
  const b = createStream({ keys: theirs, maxFrameBytes: 2 ** 20, now: 0 });
  const piece = randomBytes(size);
  let frames = 0;
  bench(`seal and open frame ${size}/${chunk}`, Math.ceil(100_000_000 / (size + 8000)), size, () => {
    const bytes = a.sealFrame([piece]);
    for (let at = 0; at < bytes.length; at += chunk) b.push(bytes.subarray(at, at + chunk), () => frames++);
  });
  a.close();
  b.close();
}
