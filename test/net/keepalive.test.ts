import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KEEPALIVE_LEAST_MS, KEEPALIVE_MOST_MS, Keepalive, Keepalives } from '../../src/net/keepalive.ts';
import { Liveness } from '../../src/net/liveness.ts';

describe('keepalive: the interval', () => {
  it('begins at 20 s and never grows beyond', () => {
    const keepalive = new Keepalive();
    assert.equal(keepalive.intervalMs, 20_000);
    for (let i = 0; i < 1000; i++) keepalive.survived(keepalive.intervalMs);
    assert.equal(keepalive.intervalMs, KEEPALIVE_MOST_MS);
  });

  it('is half the pause after which a router had forgotten us, and 5 s at least', () => {
    const keepalive = new Keepalive();
    keepalive.rebound(20_000);
    assert.equal(keepalive.intervalMs, 10_000);
    keepalive.rebound(60_000);
    assert.equal(keepalive.intervalMs, KEEPALIVE_LEAST_MS);
    keepalive.rebound(6_000);
    assert.equal(keepalive.intervalMs, KEEPALIVE_LEAST_MS);
  });

  it('an address that changes after a short pause is ours that moved: nothing is learned', () => {
    const keepalive = new Keepalive();
    keepalive.rebound(KEEPALIVE_LEAST_MS - 1);
    assert.equal(keepalive.intervalMs, KEEPALIVE_MOST_MS);
  });

  it('grows again after many full pauses, later each time that this was a mistake', () => {
    const keepalive = new Keepalive();
    keepalive.rebound(20_000);
    const pausesUntilLonger = (): number => {
      const before = keepalive.intervalMs;
      for (let count = 1; ; count++) {
        keepalive.survived(keepalive.intervalMs);
        if (keepalive.intervalMs > before) return count;
      }
    };
    assert.equal(pausesUntilLonger(), 20);
    assert.equal(keepalive.intervalMs, 15_000);
    keepalive.rebound(15_000);
    assert.equal(keepalive.intervalMs, 7_500);
    assert.equal(pausesUntilLonger(), 40);
    assert.equal(keepalive.intervalMs, 11_250);
  });

  it('pauses shorter than the interval prove nothing', () => {
    const keepalive = new Keepalive();
    keepalive.rebound(20_000);
    for (let i = 0; i < 1000; i++) keepalive.survived(8_000);
    assert.equal(keepalive.intervalMs, 10_000);
  });

  it('a path lost after a pause shortens it if the peer is reached anew at once, and not if much later', () => {
    const keepalive = new Keepalive();
    keepalive.lost(20_000, 0);
    keepalive.reached(600_000);
    assert.equal(keepalive.intervalMs, 20_000);
    keepalive.lost(20_000, 700_000);
    keepalive.reached(702_000);
    assert.equal(keepalive.intervalMs, 10_000);
    keepalive.reached(703_000);
    assert.equal(keepalive.intervalMs, 10_000);
  });

  it('a path given up after a pause when a new one was made already counts the same', () => {
    const keepalive = new Keepalive();
    keepalive.reached(0);
    keepalive.lost(20_000, 600_000);
    assert.equal(keepalive.intervalMs, 20_000);
    keepalive.reached(700_000);
    keepalive.lost(20_000, 702_000);
    assert.equal(keepalive.intervalMs, 10_000);
  });

  it('is remembered by peer, for so many peers', () => {
    const all = new Keepalives();
    const first = all.of('first');
    const used = all.of('used');
    for (let i = 0; i < 1023; i++) {
      all.of(`other ${i}`);
      assert.equal(all.of('used'), used);
    }
    assert.notEqual(all.of('first'), first);
  });
});

describe('liveness', () => {
  it('an idle path asks every 20 s, and is given up when nothing answers', () => {
    const liveness = new Liveness(0);
    assert.equal(liveness.dueAt, 20_000);
    assert.equal(liveness.judge(19_999), 'fine');
    let now = 20_000;
    let asked = 0;
    for (; liveness.judge(now) === 'ask'; now = liveness.dueAt) {
      liveness.asked(now);
      asked += 1;
    }
    assert.equal(liveness.judge(now), 'dead');
    assert.ok(asked >= 4);
    assert.ok(now >= 23_000 && now < 25_000, `${now}`);
  });

  it('of two idle ends only the one that has been idle longer asks', () => {
    const rttMs = 100;
    const ends = [new Liveness(0), new Liveness(rttMs / 2)] as const;
    let asked = 0;
    let now = 0;
    while (now < 200_000) {
      const [a, b] = ends[0].dueAt <= ends[1].dueAt ? ends : [ends[1], ends[0]];
      now = a.dueAt;
      assert.equal(a.judge(now), 'ask');
      a.asked(now);
      b.heard(now + rttMs / 2);
      a.heard(now + rttMs);
      asked += 1;
    }
    assert.ok(asked <= 200_000 / KEEPALIVE_MOST_MS + 1, `${asked} pings`);
  });

  it('through a router that forgets after 12 s it settles below, and stays there', () => {
    const bindingMs = 12_000;
    const keepalive = new Keepalive();
    const liveness = new Liveness(0, keepalive);
    let rebounds = 0;
    let lastRebound = 0;
    let now = 0;
    while (now < 3_600_000) {
      const sentBefore = liveness.lastHeardAt;
      now = liveness.dueAt;
      assert.equal(liveness.judge(now), 'ask');
      liveness.asked(now);
      now += 50;
      if (now - sentBefore > bindingMs) {
        liveness.challenged(now);
        rebounds += 1;
        lastRebound = now;
      } else liveness.heard(now);
    }
    assert.ok(keepalive.intervalMs <= bindingMs + 5_000);
    assert.ok(rebounds < 12, `${rebounds} times forgotten in an hour`);
    assert.ok(lastRebound > 0);
  });

  it('traffic after a pause that leads to a challenge counts as the ping would', () => {
    const keepalive = new Keepalive();
    const liveness = new Liveness(0, keepalive);
    liveness.waiting(16_000);
    liveness.challenged(16_080);
    assert.equal(keepalive.intervalMs, 8_000);
    liveness.waiting(16_100);
    liveness.challenged(16_300);
    assert.equal(keepalive.intervalMs, 8_000);
  });

  it('silence before a process was stopped does not end a path that answers after', () => {
    const liveness = new Liveness(0);
    liveness.waiting(100);
    assert.equal(liveness.judge(600_000), 'ask');
    liveness.asked(600_000);
    assert.equal(liveness.judge(600_500), 'ask');
    liveness.asked(600_500);
    liveness.heard(600_550);
    assert.equal(liveness.judge(600_600), 'fine');
  });
});
