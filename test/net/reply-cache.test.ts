import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createReplyCache } from '../../src/net/reply-cache.ts';
import { createRandom } from '../wire/samples.ts';

const reply = (text: string) => Buffer.from(text);

describe('reply cache', () => {
  it('keeps a reply until its call is acknowledged', () => {
    const cache = createReplyCache();
    cache.keep(5, reply('five'));
    cache.keep(6, reply('six'));
    assert.ok(cache.acknowledge(0, 6));
    assert.equal(cache.find(5), undefined);
    assert.deepEqual(cache.find(6), reply('six'));
    assert.deepEqual([4, 5, 6].map(cache.isAcknowledged), [true, true, false]);
  });

  it('knows acknowledged calls as a plain set would, whatever the runs', () => {
    const random = createRandom(9);
    const cache = createReplyCache();
    const plain = new Set<number>();
    for (let round = 0; round < 500; round++) {
      const from = Math.floor(random() * 2000);
      const below = from + Math.floor(random() * 12);
      cache.acknowledge(from, below);
      for (let callId = from; callId < below; callId++) plain.add(callId);
      if (round % 50 > 0) continue;
      for (let callId = 0; callId < 2100; callId++) assert.equal(cache.isAcknowledged(callId), plain.has(callId));
    }
  });

  it('a run as wide as the numbers go costs nothing', () => {
    const cache = createReplyCache();
    cache.keep(7, reply('seven'));
    assert.ok(cache.acknowledge(0, Number.MAX_SAFE_INTEGER));
    assert.equal(cache.size, 0);
  });

  it('is full at its bounds and has room again after acknowledgements', () => {
    const cache = createReplyCache();
    for (let callId = 0; callId < 16_384; callId++) cache.keep(callId, reply('x'));
    assert.equal(cache.hasRoom, false);
    cache.acknowledge(0, 100);
    assert.equal(cache.hasRoom, true);
  });

  it('refuses more runs than calls in flight could explain', () => {
    const cache = createReplyCache();
    let accepted = 0;
    while (cache.acknowledge(2 * accepted, 2 * accepted + 1) && accepted < 100_000) accepted += 1;
    assert.equal(accepted, 4096);
  });
});
