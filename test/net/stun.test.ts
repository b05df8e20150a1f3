import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { codeOf } from '../../src/errors.ts';
import type { PortGuest, SharedPort } from '../../src/net/shared-port.ts';
import { createStunClient } from '../../src/net/stun.ts';
import type { UdpAddress } from '../../src/net/udp-port.ts';
import { decodeStun, encodeStun, type StunMessage } from '../../src/wire/stun.ts';
import { createManualClock } from '../manual-clock.ts';

const SERVER = { host: '192.0.2.1', port: 3478 };
const SEEN = { host: '203.0.113.5', port: 40_000 };

/** A port whose datagrams go nowhere but into `sent`. */
function memoryPort(host = '::') {
  const guests = new Set<PortGuest>();
  const sent: { readonly message: StunMessage; readonly to: UdpAddress }[] = [];
  const port: SharedPort = {
    address: { host, port: 5000 },
    send(datagram, to) {
      const decoded = decodeStun(Buffer.from(datagram));
      assert.ok(decoded !== undefined);
      sent.push({ message: decoded.message, to: { ...to } });
    },
    admit(guest) {
      guests.add(guest);
      return () => guests.delete(guest);
    },
  };
  const input = (bytes: Uint8Array, from: UdpAddress): boolean => [...guests].some((guest) => guest.input(bytes, from));
  return { port, sent, input, guests };
}

const success = (transaction: Uint8Array, xorMappedAddress: UdpAddress = SEEN): Uint8Array =>
  encodeStun({ method: 'binding', class: 'success', transaction, xorMappedAddress });

test('a question is repeated for four seconds, then given up', async () => {
  const clock = createManualClock();
  const { port, sent } = memoryPort();
  const client = createStunClient({ port, clock, randomBytes });
  const answer = client.ask(SERVER).catch(codeOf);
  while (clock.step());
  assert.equal(await answer, 'ETIMEDOUT');
  assert.equal(sent.length, 4);
  assert.equal(clock.now(), 3750);
  assert.equal(new Set(sent.map(({ message }) => Buffer.from(message.transaction).toString('hex'))).size, 1);
  assert.equal(clock.pending, 0);
});

test('only the answer to the question, from where it was sent to, is believed', async () => {
  const clock = createManualClock();
  const { port, sent, input } = memoryPort();
  const client = createStunClient({ port, clock, randomBytes });
  const answer = client.ask(SERVER);
  const transaction = sent[0]?.message.transaction;
  assert.ok(transaction !== undefined);
  assert.equal(input(success(randomBytes(12)), SERVER), false);
  assert.equal(input(success(transaction), { ...SERVER, port: 3479 }), false);
  assert.equal(input(success(transaction), { ...SERVER, host: '192.0.2.2' }), false);
  assert.equal(input(encodeStun({ method: 'binding', class: 'request', transaction }), SERVER), false);
  assert.equal(input(encodeStun({ method: 'binding', class: 'success', transaction }), SERVER), false);
  assert.equal(input(randomBytes(40), SERVER), false);
  assert.equal(input(success(transaction), SERVER), true);
  assert.deepEqual(await answer, SEEN);
  assert.equal(input(success(transaction), SERVER), false);
  assert.equal(clock.pending, 0);
});

test('a refusal ends the question, and closing ends all', async () => {
  const clock = createManualClock();
  const { port, sent, input, guests } = memoryPort();
  const client = createStunClient({ port, clock, randomBytes });
  const refused = client.ask(SERVER).catch(codeOf);
  const { transaction } = sent[0]?.message ?? { transaction: Buffer.alloc(12) };
  input(encodeStun({ method: 'binding', class: 'error', transaction, errorCode: { code: 500, reason: '' } }), SERVER);
  assert.equal(await refused, 'EHOSTDOWN');
  const others = [client.ask(SERVER).catch(codeOf), client.ask(SERVER).catch(codeOf)];
  client.close();
  client.close();
  assert.deepEqual(await Promise.all(others), ['CANCELLED', 'CANCELLED']);
  assert.equal(clock.pending, 0);
  assert.equal(guests.size, 0);
});

test('questions at once are bounded', async () => {
  const clock = createManualClock();
  const { port, sent } = memoryPort();
  const client = createStunClient({ port, clock, randomBytes });
  const asked = Array.from({ length: 65 }, () => client.ask(SERVER).catch(codeOf));
  assert.equal(sent.length, 64);
  assert.equal(await asked[64], 'EHOSTDOWN');
  client.close();
  await Promise.all(asked);
});

test('it says which addresses its port can send to', () => {
  const clock = createManualClock();
  const reached = (host: string): boolean[] => {
    const client = createStunClient({ port: memoryPort(host).port, clock, randomBytes });
    return [client.reaches('192.0.2.1'), client.reaches('2001:db8::1')];
  };
  assert.deepEqual(
    [reached('::'), reached('0.0.0.0'), reached('2001:db8::5')],
    [
      [true, true],
      [true, false],
      [false, true],
    ],
  );
});
