import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { generateCode } from '../../src/crypto/code.ts';
import { checkInvitation, INVITATION_MAX_BYTES, openInvitation, sealInvitation } from '../../src/crypto/invitation.ts';
import type { ErrorCode } from '../../src/errors.ts';

const CODE = 'abacus-abdomen-zoom-yoyo-tshirt-yarrow';
const content = randomBytes(220);
const sealed = sealInvitation(content, CODE);

const fails = (text: string, code: ErrorCode) => assert.rejects(openInvitation(text, CODE), { code });

test('an invitation opens with its code and is short enough to paste', async () => {
  const text = await sealed;
  assert.match(text, /^peerfs-invite-1:[A-Za-z0-9_-]+$/);
  assert.ok(text.length < 1024);
  assert.deepEqual(Buffer.from(await openInvitation(text, CODE)), content);
});

test('line breaks, quoting and spaces anywhere in it do not matter', async () => {
  const text = await sealed;
  const mailed = `\r\n> ${text.replace(/(.{40})/g, '$1\r\n> ')}\n\n`;
  assert.deepEqual(Buffer.from(await openInvitation(mailed, CODE)), content);
});

test('a wrong code is told from damage', async () => {
  const text = await sealed;
  await assert.rejects(openInvitation(text, generateCode()), { code: 'INVITE_WRONG_CODE' });
});

test('each damaged or missing character is told, without the slow key', async () => {
  const text = await sealed;
  for (let i = 0; i < text.length; i++) {
    const other = text[i] === 'A' ? 'B' : 'A';
    const damaged = text.slice(0, i) + other + text.slice(i + 1);
    const expected: ErrorCode = 'INVITE_MALFORMED';
    assert.throws(() => checkInvitation(damaged), { code: expected }, `character ${i}`);
    assert.throws(() => checkInvitation(text.slice(0, i)), { code: expected }, `cut at ${i}`);
  }
  await fails(`${text}AAAA`, 'INVITE_MALFORMED');
  await fails(text.toLowerCase(), 'INVITE_MALFORMED');
});

test('what is no invitation at all is refused, however long', async () => {
  await fails('', 'INVITE_MALFORMED');
  await fails('hello', 'INVITE_MALFORMED');
  await fails('peerfs-invite-1:', 'INVITE_MALFORMED');
  await fails('peerfs-invite-1:ä', 'INVITE_MALFORMED');
  await fails(`peerfs-invite-1:${'A'.repeat(1_000_000)}`, 'INVITE_MALFORMED');
});

test('a later format is told from damage', async () => {
  const text = await sealed;
  await fails(text.replace('invite-1:', 'invite-2:'), 'INVITE_VERSION');
});

test('the same content and code give other bytes each time, and nothing of the content shows', async () => {
  const plain = Buffer.alloc(300, 'canary');
  const [one, two] = await Promise.all([sealInvitation(plain, CODE), sealInvitation(plain, CODE)]);
  assert.notEqual(one.slice(16, 60), two.slice(16, 60));
  const bytes = Buffer.from(one.slice(16), 'base64url');
  assert.ok(!bytes.includes('canary') && !bytes.includes('abacus'));
});

test("the content's length shows in steps only; none and the longest pass, a longer one does not", async () => {
  const [a, b] = await Promise.all([sealInvitation(Buffer.alloc(100), CODE), sealInvitation(Buffer.alloc(120), CODE)]);
  assert.equal(a.length, b.length);
  for (const length of [0, INVITATION_MAX_BYTES]) {
    const opened = await openInvitation(await sealInvitation(Buffer.alloc(length, 1), CODE), CODE);
    assert.deepEqual(Buffer.from(opened), Buffer.alloc(length, 1));
  }
  await assert.rejects(sealInvitation(Buffer.alloc(INVITATION_MAX_BYTES + 1), CODE), RangeError);
});

test('the event loop goes on while the key is derived', async () => {
  let turns = 0;
  const turn = setInterval(() => turns++, 1);
  try {
    await sealInvitation(content, CODE);
  } finally {
    clearInterval(turn);
  }
  assert.ok(turns > 20, `${turns} turns`);
});

test('an invitation of this format opens for ever', async () => {
  assert.equal(Buffer.from(await openInvitation(GOLDEN, CODE)).toString(), 'golden invitation');
});

/** Made by this code at version 1. */
const GOLDEN =
  'peerfs-invite-1:jJCz35H7ptXNQc1R7zuNFaaiM9y2xaJj0jSLaIFHr-id399qF0b2sk-jL8OHQiPphFsBgMq-Nz738YCIE1gVocB5FWnWxN_rxMFB_bg12rlw7hN8_RG45emvy808HdwDPfvmMGSHL8x80xc9tGXo0lEjxRYge6-QfQoVBDrVAjU';
