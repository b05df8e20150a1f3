import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRelayedAddresses } from '../../src/daemon/relayed-addresses.ts';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE } from '../../src/wire/candidate.ts';

const candidate = (type: number, host: string) => ({ type, transports: CANDIDATE_TRANSPORT.udp, host, port: 49152 });
const at = (host: string) => ({ host, port: 49152 });

test('relayed addresses are known again, others are not', () => {
  const relayed = createRelayedAddresses();
  const { relayed: type, mapped } = CANDIDATE_TYPE;
  relayed.note('bob', [candidate(type, '198.51.100.1'), candidate(mapped, '198.51.100.2')]);
  assert.ok(relayed.has(at('198.51.100.1'), undefined));
  assert.ok(relayed.has(at('198.51.100.1'), 'bob'));
  assert.ok(!relayed.has(at('198.51.100.2'), 'bob'));
  assert.ok(!relayed.has({ host: '198.51.100.1', port: 1 }, undefined));
});

test('what one peer says of its relays says nothing of another, and drives out nothing of its', () => {
  const relayed = createRelayedAddresses();
  relayed.note('bob', [candidate(CANDIDATE_TYPE.relayed, '198.51.100.1')]);
  for (let i = 0; i < 2000; i++) relayed.note('eve', [candidate(CANDIDATE_TYPE.relayed, `192.0.${i >> 8}.${i & 255}`)]);
  assert.ok(!relayed.has(at('192.0.7.207'), 'bob'));
  assert.ok(relayed.has(at('198.51.100.1'), 'bob'));
  assert.ok(!relayed.has(at('198.51.100.1'), 'eve'));
});

test('of each peer a bounded number are kept, the newest', () => {
  const relayed = createRelayedAddresses();
  for (let i = 0; i < 17; i++) relayed.note('bob', [candidate(CANDIDATE_TYPE.relayed, `198.51.100.${i}`)]);
  assert.ok(!relayed.has(at('198.51.100.0'), 'bob'));
  assert.ok(relayed.has(at('198.51.100.1'), 'bob'));
  assert.ok(relayed.has(at('198.51.100.16'), 'bob'));
});
