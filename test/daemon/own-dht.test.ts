import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readNodes } from '../../src/daemon/own-dht.ts';

test('nodes of the last run are read again', () => {
  const nodes = [
    { host: '192.0.2.1', port: 6881 },
    { host: '192.0.2.2', port: 6882 },
  ];
  assert.deepEqual(readNodes(JSON.stringify(nodes)), nodes);
});

test('what was not written by us is left out, and nothing is thrown', () => {
  for (const saved of [undefined, 7, new Uint8Array(3), '', '{', 'null', '{}', '[null, 1, {}, {"host": "a"}]']) {
    assert.deepEqual(readNodes(saved), [], String(saved));
  }
  assert.deepEqual(readNodes('[{"host":"192.0.2.1","port":"6881"},{"host":"192.0.2.2","port":6882,"more":1}]'), [
    { host: '192.0.2.2', port: 6882 },
  ]);
});
