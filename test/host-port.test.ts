import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHostPort, parseHostPort } from '../src/host-port.ts';

test('IPv4, names, IPv6 in brackets, ports to 65535', () => {
  assert.deepEqual(parseHostPort('127.0.0.1:0'), { host: '127.0.0.1', port: 0 });
  assert.deepEqual(parseHostPort('[::]:65535'), { host: '::', port: 65535 });
  assert.deepEqual(parseHostPort('host.example:41000'), { host: 'host.example', port: 41000 });
});

test('what is something else is not taken for it', () => {
  for (const bad of ['', ':', '1.2.3.4', '1.2.3.4:', ':80', '[::]', '::1:80', 'a b:1', 'a:-1', '[::1]:99999', 'a:1 ']) {
    assert.equal(parseHostPort(bad), undefined, bad);
  }
});

test('what is shown can be read', () => {
  for (const [host, port] of [
    ['192.0.2.1', 1],
    ['2001:db8::1', 4500],
    ['host.example', 65535],
  ] as const) {
    assert.deepEqual(parseHostPort(formatHostPort(host, port)), { host, port });
  }
});
