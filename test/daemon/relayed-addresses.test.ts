import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRelayedAddresses } from '../../src/daemon/relayed-addresses.ts';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE } from '../../src/wire/candidate.ts';

const candidate = (type: number, host: string) => ({ type, transports: CANDIDATE_TRANSPORT.udp, host, port: 49152 });
const at = (host: string) => ({ host, port: 49152 });

test('relayed addresses are known again, others are not', () => {
  const relayed = createRelayedAddresses();
  relayed.note([candidate(CANDIDATE_TYPE.relayed, '198.51.100.1'), candidate(CANDIDATE_TYPE.mapped, '198.51.100.2')]);
  assert.ok(relayed.has(at('198.51.100.1')));
  assert.ok(!relayed.has(at('198.51.100.2')));
  assert.ok(!relayed.has({ host: '198.51.100.1', port: 1 }));
});

test('whatever peers tell, no more than a bounded number are kept, the newest', () => {
  const relayed = createRelayedAddresses();
  for (let i = 0; i < 1025; i++) relayed.note([candidate(CANDIDATE_TYPE.relayed, `198.51.${i >> 8}.${i & 255}`)]);
  assert.ok(!relayed.has(at('198.51.0.0')));
  assert.ok(relayed.has(at('198.51.0.1')));
  assert.ok(relayed.has(at('198.51.4.0')));
});
