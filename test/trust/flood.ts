/**
 * Floods of handshakes from those who know a node's key, and so its disguise, but prove nothing: the dearest that a stranger can
 * send. Whoever lives goes on at half the rate at least, and whoever comes new gets in.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { initiate } from '../../src/crypto/handshake.ts';
import { createIdentity } from '../../src/crypto/identity.ts';
import { encodeStruct } from '../../src/wire/codec.ts';
import { HANDSHAKE_REQUEST, PURPOSE } from '../../src/wire/packets.ts';
import { introduce } from '../e2e/lab.ts';
import { openBesieged } from './besieged.ts';
import { faultOf } from './node-watch.ts';
import { inviteRaw } from './raw-peer.ts';

const PROGRAM = join(import.meta.dirname, 'flood-program.js');
/** Promised. */
const KEPT = 0.5;
const JOINED_MS = 10_000;
/** Handshakes that are made; they are sent again and again, which costs the node the same. */
const MADE = 500;
/** The flood is under way, and has used up what was saved for a burst, when the newcomer comes. */
const BEFORE_MS = 3000;
/** Handshakes that come late by this share of the rate are the machine's doing. */
const LEAST_SENT = 0.5;

export interface Flood {
  readonly name: string;
  /** Handshakes a second, of all sources together. */
  readonly rate: number;
  readonly sources: number;
  readonly seconds: number;
  readonly rateMs: number;
}

function handshakes(remotePublicKey: Uint8Array): Buffer[] {
  return Array.from({ length: MADE }, (_, index) => {
    const identity = createIdentity();
    const { publicKey } = identity;
    const isGuest = index % 2 === 0;
    const purpose = isGuest ? PURPOSE.invitation : PURPOSE.known;
    const request = { timestampMs: Date.now() + index, publicKey, purpose, index, name: 'flood', port: 1 };
    const payload = encodeStruct(HANDSHAKE_REQUEST, request);
    const made = initiate({ identity, remotePublicKey, psk: randomBytes(32), payload });
    made.abandon();
    return Buffer.from(made.message);
  });
}

/** @returns what was seen. @throws when a promise was broken. */
export async function flood({ name, rate, sources, seconds, rateMs }: Flood): Promise<string[]> {
  const { lab, alice, at, pid, rate: reads } = await openBesieged(['carol']);
  try {
    const carol = lab.host('carol');
    await carol.start();
    // Open invitations are tried on every stranger.
    const { publicKey } = await inviteRaw(alice, 'nobody');
    const before = await reads(rateMs);
    const args = [PROGRAM, at.host, String(at.port), String(sources), String(rate), String(seconds)];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = once(child, 'close');
    child.stdin.end(
      handshakes(publicKey)
        .map((message) => `${message.toString('hex')}\n`)
        .join(''),
    );
    try {
      await new Promise((resolve) => setTimeout(resolve, BEFORE_MS));
      const during = await reads(rateMs);
      const startedAt = performance.now();
      await introduce(alice, carol);
      const joinedMs = performance.now() - startedAt;
      assert.equal(child.exitCode, null, 'the flood lasts longer than what is measured');
      await ended;
      const { sent, replies, seconds: took } = JSON.parse(said) as { sent: number; replies: number; seconds: number };
      const seen = [
        `${name}: ${(sent / took).toFixed(0)} handshakes a second, ${replies} replies; bob reads ${before.toFixed(0)} MiB/s before, ${during.toFixed(0)} meanwhile; a new peer has joined after ${(joinedMs / 1000).toFixed(1)} s`,
      ];
      assert.ok(sent / took > LEAST_SENT * rate, `the flood was of ${(sent / took).toFixed(0)} a second only`);
      assert.equal(replies, 0);
      assert.ok(during >= KEPT * before, `${name}: ${before.toFixed(0)} MiB/s became ${during.toFixed(0)}`);
      assert.ok(joinedMs < JOINED_MS, `${name}: joined after ${joinedMs.toFixed(0)} ms`);
      assert.equal(faultOf(alice, pid), undefined);
      return seen;
    } finally {
      child.kill('SIGKILL');
    }
  } finally {
    await lab.close();
  }
}

export const FLOODS = [
  { name: 'one source', rate: 20_000, sources: 1 },
  { name: '1,000 sources', rate: 2_000, sources: 1_000 },
] as const;
