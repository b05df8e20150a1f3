/**
 * `node --expose-gc key-memory-program.js`: two sides shake hands and exchange frames over a stream and over datagrams, with
 * the implementations that a node uses; then all of this process's memory is searched for the keys, while they are in use and
 * after the session was closed. Prints where each key was found: `{"open": {name: count}, "closed": {name: count}, "mib": n}`.
 *
 * Keys are kept masked here, or the search would find itself.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { useAead } from '../../src/crypto/aead.ts';
import { initiate, respond } from '../../src/crypto/handshake.ts';
import { createIdentity } from '../../src/crypto/identity.ts';
import type { SessionKeys } from '../../src/crypto/session-keys.ts';
import { createSession } from '../../src/crypto/session.ts';
import { createStream } from '../../src/crypto/stream.ts';
import { deriveKey, useInPlaceAead } from '../../src/crypto/sodium.ts';
import { opensslAead, opensslInPlace } from '../../src/sys/openssl.ts';

const MASK = 0x5a;
const CHUNK = 1024 * 1024;
/** Long enough that no other bytes are the same. */
const FOUND_BYTES = 16;

const aead = opensslAead();
if (aead !== undefined) useAead(aead);
useInPlaceAead(opensslInPlace());

const masked = new Map<string, Buffer>();
/** Replaces `bytes` by themselves masked; a copy would leave them. */
function remember(name: string, bytes: Uint8Array, isOurs: boolean): void {
  const copy = Buffer.allocUnsafeSlow(FOUND_BYTES);
  for (let i = 0; i < FOUND_BYTES; i++) copy[i] = (bytes[i] ?? 0) ^ MASK;
  masked.set(name, copy);
  if (isOurs) bytes.fill(0);
}

/** Notes the keys that are made of it when it is used. */
function watched(side: string, keys: SessionKeys, label: string): SessionKeys {
  const watching: Pick<SessionKeys, 'use' | 'destroy' | 'handshakeHash' | 'localDhPublicKey' | 'remoteDhPublicKey'> = {
    handshakeHash: keys.handshakeHash,
    localDhPublicKey: keys.localDhPublicKey,
    remoteDhPublicKey: keys.remoteDhPublicKey,
    destroy: () => keys.destroy(),
    use: (use) =>
      keys.use((secrets) => {
        for (const [direction, secret] of Object.entries(secrets) as [string, Uint8Array][]) {
          remember(`${side} ${direction} secret`, secret, false);
          remember(`${side} ${direction} ${label}`, deriveKey(secret, label), true);
        }
        return use(secrets);
      }),
  };
  return watching as SessionKeys;
}

function handshake(): readonly [SessionKeys, SessionKeys] {
  const [near, far] = [createIdentity(), createIdentity()];
  const psk = randomBytes(32);
  const initiation = initiate({ identity: near, remotePublicKey: far.publicKey, psk, payload: Buffer.alloc(9) });
  const proven = respond(far, initiation.message)?.complete(psk);
  const answer = proven?.answer(Buffer.alloc(5));
  const done = answer && initiation.finish(answer.message);
  if (answer === undefined || done === undefined) throw new Error('no handshake');
  return [done.keys, answer.keys];
}

/** @returns how often each key stands in this process's memory, and how much that is. */
function search(): { readonly found: Record<string, number>; readonly mib: number } {
  const memory = openSync('/proc/self/mem', 'r');
  const chunk = Buffer.alloc(CHUNK);
  const found: Record<string, number> = Object.fromEntries([...masked.keys()].map((name) => [name, 0]));
  let total = 0;
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const [, from = '', to = '', rights = ''] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? [];
    if (!rights.startsWith('rw') || /\[vvar|\[vsyscall/.test(line)) continue;
    const end = parseInt(to, 16);
    for (let at = parseInt(from, 16); at < end; at += CHUNK - FOUND_BYTES) {
      let length = 0;
      try {
        length = readSync(memory, chunk, 0, Math.min(CHUNK, end - at), at);
      } catch {
        break; // Never touched, or not to be read.
      }
      total += length;
      for (let i = 0; i < length; i++) chunk[i] = (chunk[i] ?? 0) ^ MASK;
      const seen = chunk.subarray(0, length);
      for (const [name, key] of masked) {
        for (let hit = seen.indexOf(key); hit >= 0; hit = seen.indexOf(key, hit + 1)) {
          // This search's own copies are masked, and so not what is looked for; what is found here is unmasked there.
          found[name] = (found[name] ?? 0) + 1;
        }
      }
    }
  }
  closeSync(memory);
  return { found, mib: Math.round(total / CHUNK) };
}

function exchange(): () => void {
  const [near, far] = handshake();
  const limits = { maxFrameBytes: 1 << 20, now: 0 };
  const streams = [
    createStream({ keys: watched('stream', near, 'stream'), ...limits }),
    createStream({ keys: far, ...limits }),
  ] as const;
  for (const [from, to] of [
    [0, 1],
    [1, 0],
  ] as const) {
    for (const bytes of [10, 100_000])
      streams[to].push(streams[from].sealFrame([Buffer.alloc(bytes, 7)]), () => undefined);
  }
  const [left, right] = handshake();
  const sessions = [
    createSession({ keys: watched('session', left, 'datagram'), localIndex: 1, remoteIndex: 2, now: 0 }),
    createSession({ keys: right, localIndex: 2, remoteIndex: 1, now: 0 }),
  ] as const;
  for (const [from, to] of [
    [0, 1],
    [1, 0],
  ] as const) {
    const datagram = Buffer.alloc(600);
    for (let count = 0; count < 50; count += 1) {
      const length = sessions[from].sealDatagram(Buffer.alloc(500, 8), datagram, 0);
      if (sessions[to].openDatagram(datagram.subarray(0, length)) === undefined) throw new Error('it does not open');
    }
  }
  return () => {
    for (const { close } of [...streams, ...sessions]) close();
  };
}

const close = exchange();
const open = search();
close();
for (let count = 0; count < 5; count += 1) globalThis.gc?.();
await new Promise((resolve) => setTimeout(resolve, 50));
globalThis.gc?.();
const closed = search();
console.log(JSON.stringify({ open: open.found, closed: closed.found, mib: closed.mib }));
