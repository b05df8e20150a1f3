import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { WatchEvent } from '../../src/daemon/control-protocol.ts';
import { createWatch } from '../../src/daemon/watch.ts';
import { createManualClock } from '../manual-clock.ts';

const happening = (text: string) => ({ event: 'network', text, detail: {} }) as const;

describe('watch', () => {
  it('tells all who look on, with the time, until they stop', () => {
    const watch = createWatch({ clock: createManualClock() });
    const [first, second]: [WatchEvent[], WatchEvent[]] = [[], []];
    watch.emit(happening('before'));
    const stop = watch.subscribe((event) => first.push(event) > 0);
    watch.subscribe((event) => second.push(event) > 0);
    watch.emit(happening('one'));
    stop();
    stop();
    watch.emit(happening('two'));
    assert.deepEqual(
      first.map(({ text }) => text),
      ['one'],
    );
    assert.deepEqual(
      second.map(({ text }) => text),
      ['one', 'two'],
    );
    assert.match(first[0]?.at ?? '', /^\d{4}-.*Z$/);
  });

  it('who reads too slowly is told how many events were left out, nobody else is', () => {
    const watch = createWatch({ clock: createManualClock() });
    const slow: WatchEvent[] = [];
    const quick: WatchEvent[] = [];
    let room = 1;
    watch.subscribe((event) => room-- > 0 && slow.push(event) > 0);
    watch.subscribe((event) => quick.push(event) > 0);
    for (const text of ['one', 'two', 'three']) watch.emit(happening(text));
    room = 2;
    watch.emit(happening('four'));
    assert.deepEqual(
      slow.map(({ text, detail }) => detail['missed'] ?? text),
      ['one', 2, 'four'],
    );
    assert.equal(quick.length, 4);
  });

  it('who stops while it is told is told no more', () => {
    const watch = createWatch({ clock: createManualClock() });
    let told = 0;
    const stop = watch.subscribe(() => {
      told++;
      stop();
      return true;
    });
    watch.emit(happening('one'));
    watch.emit(happening('two'));
    assert.equal(told, 1);
  });
});
