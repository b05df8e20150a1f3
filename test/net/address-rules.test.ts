import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/errors.ts';
import { createAddressRules, isHostAddress, isLocalAddress } from '../../src/net/address-rules.ts';

test('without rules every address is allowed', () => {
  const rules = createAddressRules([], []);
  for (const host of ['192.0.2.1', '2001:db8::1', 'not-numeric']) assert.ok(rules.allows(host));
});

test('an address must be in an allowed block, if there are any, and in no denied one', () => {
  const rules = createAddressRules(['10.0.0.0/8', '2001:db8::/32'], ['10.1.0.0/16', '10.0.0.7']);
  const allowed = ['10.0.0.1', '10.255.255.255', '2001:db8::1'];
  const refused = ['10.1.0.0', '10.1.255.255', '10.0.0.7', '11.0.0.0', '2001:db9::1'];
  for (const host of allowed) assert.ok(rules.allows(host), host);
  for (const host of refused) assert.ok(!rules.allows(host), host);
});

test('what is no block of addresses is refused in words', () => {
  for (const rule of ['', 'example.org/8', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/-1']) {
    assert.throws(
      () => createAddressRules([], [rule]),
      (error) => codeOf(error) === 'CONFIG_INVALID',
      rule,
    );
  }
});

test('addresses of private networks are told from those of the internet', () => {
  const local = [
    '10.0.0.1',
    '100.64.0.1',
    '127.0.0.1',
    '169.254.1.1',
    '172.31.0.1',
    '192.168.1.1',
    '::1',
    'fd00::1',
    'fe80::1',
  ];
  const global = ['9.255.255.255', '100.128.0.0', '172.32.0.1', '198.51.100.1', '2001:db8::1'];
  for (const host of local) assert.ok(isLocalAddress(host), host);
  for (const host of global) assert.ok(!isLocalAddress(host), host);
});

test('an address of one computer is told from groups, from none, and from other ways to write it', () => {
  for (const host of ['192.0.2.1', '10.0.0.1', '127.0.0.1', '2001:db8::1', '::1', 'fd00::1'])
    assert.ok(isHostAddress(host), host);
  const others = [
    ...['', 'example.org', '0.0.0.0', '224.0.0.1', '239.255.255.250', '255.255.255.255', '192.0.2.1:80'],
    ...['::', 'ff02::1', 'fe80::1%eth0', '2001:db8::1%1', '::ffff:192.0.2.1', '0:0:0:0:0:ffff:c000:201', '[::1]'],
  ];
  for (const host of others) assert.ok(!isHostAddress(host), host);
});
