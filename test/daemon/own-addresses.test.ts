import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { watchOwnAddresses } from '../../src/daemon/own-addresses.ts';
import { createAddressRules } from '../../src/net/address-rules.ts';
import { createCandidates } from '../../src/net/candidates.ts';
import { createManualClock } from '../manual-clock.ts';

const at = (address: string): NetworkInterfaceInfo => ({
  address,
  netmask: '255.255.255.0',
  family: 'IPv4',
  mac: '00:00:00:00:00:00',
  internal: false,
  cidr: null,
});

test('where the system cannot tell its interfaces the addresses are as they were, and nobody is told of a change', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let answer: () => readonly NetworkInterfaceInfo[] = () => [at('192.0.2.1')];
  const changes: boolean[] = [];
  const candidates = createCandidates(createAddressRules([], []));
  const own = watchOwnAddresses({
    candidates,
    listening: { host: '0.0.0.0', port: 9 },
    transports: 3,
    clock: createManualClock(),
    onChange: (slept) => changes.push(slept),
    interfaces: () => ({ eth0: answer() }),
  });
  t.after(() => own.close());
  assert.deepEqual(own.hosts, ['192.0.2.1']);
  answer = () => {
    throw new Error('EMFILE');
  };
  t.mock.timers.tick(2000);
  assert.deepEqual(own.hosts, ['192.0.2.1']);
  assert.deepEqual(changes, []);
  answer = () => [at('192.0.2.2')];
  t.mock.timers.tick(2000);
  assert.deepEqual(own.hosts, ['192.0.2.2']);
  assert.deepEqual(
    candidates.list.map(({ host }) => host),
    ['192.0.2.2'],
  );
  assert.deepEqual(changes, [false]);
});
