import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noiseInitiate, noiseRespond, PROTOCOL_NAME, type NoiseInitiator } from '../../src/crypto/noise.ts';
import { chachaOpen, chachaSeal } from '../../src/crypto/sodium.ts';
import { dh, generateDhKeyPair, importDhSecret } from '../../src/crypto/x25519.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

/** From the test vectors published with the Haskell implementation `cacophony`, Noise_IKpsk1_25519_ChaChaPoly_BLAKE2b. */
const VECTOR = {
  prologue: hex('4a6f686e2047616c74'),
  psk: hex('54686973206973206d7920417573747269616e20706572737065637469766521'),
  initiatorStatic: hex('e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1'),
  initiatorEphemeral: hex('893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a'),
  remoteStatic: hex('31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62'),
  responderStatic: hex('4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893'),
  responderEphemeral: hex('bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b'),
  handshakeHash:
    '186371bec588c76e8deb325921814d59591519641d70e37cde7ab4bc8b17600e3d9062228a6132e257baf34bc156927e5d85a7d3ea93f7524caf13710b226b3b',
  messages: [
    {
      payload: hex('4c756477696720766f6e204d69736573'),
      ciphertext:
        'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944902b84cee06d6795dc5f2501c05ba76688c6ce7d2ab36d91ce6d3211721f3280f6264f7c2ea2e6b13d78afb983ae1ffb05f1f4e9fa55356622301ebaff6e9f21c1f43208cbd63fb9b4082159b8fc5bb3',
    },
    {
      payload: hex('4d757272617920526f746862617264'),
      ciphertext:
        '95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088430b230ee9def0e1e7c053a14848bbfb1458026c9aa2bbbd4b237cb92491392b',
    },
  ],
  transport: [
    { payload: '462e20412e20486179656b', ciphertext: '3ef532df887f77d7b044cb218ff0674cba4810998d84112690527a' },
    { payload: '4361726c204d656e676572', ciphertext: 'cb6c35ca87c7deef55e8e9bdbd7ccdfb8de119accfadb834cbb56b' },
    {
      payload: '4a65616e2d426170746973746520536179',
      ciphertext: 'ed8a704db23c02f24b78473428e0ab7ba1bb5996f9a68fa45a87509537f498e41c',
    },
    {
      payload: '457567656e2042f6686d20766f6e2042617765726b',
      ciphertext: '13e78d501bcb6d55e9c0821febbe88d021663a91fbce42c12bf219cf5d7efef5f6a2ee9ca6',
    },
  ],
} as const;

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function vectorInitiator(): NoiseInitiator {
  return noiseInitiate({
    prologue: VECTOR.prologue,
    own: importDhSecret(VECTOR.initiatorStatic),
    remoteStatic: VECTOR.remoteStatic,
    psk: VECTOR.psk,
    payload: VECTOR.messages[0].payload,
    ephemeral: importDhSecret(VECTOR.initiatorEphemeral),
  });
}

const vectorResponder = {
  prologue: VECTOR.prologue,
  own: importDhSecret(VECTOR.responderStatic),
  ephemeral: importDhSecret(VECTOR.responderEphemeral),
};

test('the published vector: both messages, the handshake hash and four transport messages', () => {
  assert.equal(PROTOCOL_NAME, 'Noise_IKpsk1_25519_ChaChaPoly_BLAKE2b');
  const initiator = vectorInitiator();
  assert.equal(toHex(initiator.message1), VECTOR.messages[0].ciphertext);

  const responder = noiseRespond(vectorResponder, hex(VECTOR.messages[0].ciphertext));
  assert.ok(responder);
  assert.deepEqual(Buffer.from(responder.remoteStatic), Buffer.from(importDhSecret(VECTOR.initiatorStatic).publicKey));
  const proven = responder.provePsk(VECTOR.psk);
  assert.ok(proven);
  assert.deepEqual(Buffer.from(proven.payload), VECTOR.messages[0].payload);

  const { message, keys } = proven.writeMessage2(VECTOR.messages[1].payload);
  assert.equal(toHex(message), VECTOR.messages[1].ciphertext);
  const finished = initiator.readMessage2(message);
  assert.ok(finished);
  assert.deepEqual(Buffer.from(finished.payload), VECTOR.messages[1].payload);
  assert.equal(toHex(keys.handshakeHash), VECTOR.handshakeHash);
  assert.equal(toHex(finished.keys.handshakeHash), VECTOR.handshakeHash);

  VECTOR.transport.forEach(({ payload, ciphertext }, i) => {
    // They alternate, the initiator first; each direction counts from 0.
    const key = i % 2 === 0 ? finished.keys.initiatorToResponder : keys.responderToInitiator;
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32LE(Math.floor(i / 2), 4);
    assert.equal(toHex(chachaSeal(hex(payload), Buffer.alloc(0), nonce, key)), ciphertext);
  });
});

test('a psk that is not the right one proves nothing, and the right one still does after it', () => {
  const responder = noiseRespond(vectorResponder, vectorInitiator().message1);
  assert.equal(responder?.provePsk(Buffer.alloc(32)), undefined);
  assert.ok(responder?.provePsk(VECTOR.psk));
});

test('each byte of either message matters', () => {
  const initiator = vectorInitiator();
  for (let i = 0; i < initiator.message1.length; i++) {
    const damaged = Buffer.from(initiator.message1);
    damaged[i] = (damaged[i] ?? 0) ^ 1;
    assert.equal(noiseRespond(vectorResponder, damaged)?.provePsk(VECTOR.psk), undefined, `byte ${i} of message 1`);
  }
  const message2 = hex(VECTOR.messages[1].ciphertext);
  for (let i = 0; i < message2.length; i++) {
    const damaged = Buffer.from(message2);
    damaged[i] = (damaged[i] ?? 0) ^ 0x80;
    assert.equal(initiator.readMessage2(damaged), undefined, `byte ${i} of message 2`);
  }
  assert.ok(initiator.readMessage2(message2), 'damaged answers did not spoil the state');
});

test('cut messages and another prologue are refused', () => {
  const { message1 } = vectorInitiator();
  for (let length = 0; length < message1.length; length++) {
    assert.equal(noiseRespond(vectorResponder, message1.subarray(0, length))?.provePsk(VECTOR.psk), undefined);
  }
  assert.equal(noiseRespond({ ...vectorResponder, prologue: Buffer.from('another') }, message1), undefined);
});

test('keys of low order are refused by X25519', () => {
  const { privateKey } = generateDhKeyPair();
  // RFC 7748 section 6.1: such a key makes the shared secret zero.
  assert.equal(dh(privateKey, Buffer.alloc(32)), undefined);
  const one = Buffer.alloc(32);
  one[0] = 1;
  assert.equal(dh(privateKey, one), undefined);
  assert.equal(dh(privateKey, Buffer.alloc(31, 9)), undefined);
});

test('the X25519 vector of RFC 7748 section 6.1', () => {
  const alice = importDhSecret(hex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'));
  const bob = importDhSecret(hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'));
  assert.equal(toHex(alice.publicKey), '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');
  assert.equal(toHex(bob.publicKey), 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
  const shared = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742';
  assert.equal(toHex(dh(alice.privateKey, bob.publicKey) ?? hex('')), shared);
  assert.equal(toHex(dh(bob.privateKey, alice.publicKey) ?? hex('')), shared);
});

test('the ChaCha20-Poly1305 vector of RFC 8439 section 2.8.2', () => {
  const plain = Buffer.from(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  );
  const additional = hex('50515253c0c1c2c3c4c5c6c7');
  const key = hex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f');
  const nonce = hex('070000004041424344454647');
  const sealed = chachaSeal(plain, additional, nonce, key);
  assert.equal(toHex(sealed.subarray(-16)), '1ae10b594f09e26a7e902ecbd0600691');
  assert.equal(toHex(sealed.subarray(0, 16)), 'd31a8d34648e60db7b86afbc53ef7ec2');
  assert.deepEqual(Buffer.from(chachaOpen(sealed, additional, nonce, key) ?? []), plain);
});
