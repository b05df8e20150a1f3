import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { codeOf } from '../../src/errors.ts';
import { createMailbox, LEFT_LIFE_MS, MAX_LEFT, MAX_LEFT_PER_PEER, type Mailbox } from '../../src/net/mailbox.ts';
import { decodeFields, encodeFields } from '../../src/wire/codec.ts';
import { encodeFrame } from '../../src/wire/frame.ts';
import { LIMITS, MESSAGES, type RequestOf } from '../../src/wire/schema.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';

const context = { callId: 1, signal: new AbortController().signal, payload: new Uint8Array(0) };

const place = (number: number): Uint8Array => {
  const bytes = Buffer.alloc(32, 7);
  bytes.writeUInt32BE(number, 5);
  return bytes;
};

const text = ({ value }: { readonly value: Uint8Array }): string => Buffer.from(value).toString();

interface User {
  /** What it was told, as texts. */
  readonly told: string[];
  leave(at: number, value: string): Promise<void>;
  /** @returns what lies there, as texts. */
  watch(...at: number[]): Promise<string[]>;
  close(): void;
}

function open(mailbox: Mailbox, peerId: string): User {
  const told: string[] = [];
  const { handlers, close } = mailbox.open(peerId, (left) => void told.push(text(left)));
  return {
    told,
    async leave(at, value) {
      await handlers.leaveSignal({ place: place(at), value: Buffer.from(value) }, context);
    },
    async watch(...at) {
      const { reply } = await handlers.watchSignals({ places: at.map((one) => ({ place: place(one) })) }, context);
      return reply.signals.map(text);
    },
    close,
  };
}

function create(allowed: (peerId: string) => boolean = () => true): {
  clock: ManualClock;
  mailbox: Mailbox;
  alice: User;
  bob: User;
} {
  const clock = createManualClock();
  const mailbox = createMailbox({ clock, allowed });
  return { clock, mailbox, alice: open(mailbox, 'alice'), bob: open(mailbox, 'bob') };
}

const fails = (promise: Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(promise, (error) => codeOf(error) === code);

describe('mailbox', () => {
  it('what one left is read by another who knows the place, then and later', async () => {
    const { alice, bob } = create();
    await alice.leave(1, 'first');
    assert.deepEqual(await bob.watch(1, 2), ['first']);
    await alice.leave(2, 'second');
    await alice.leave(3, 'elsewhere');
    await alice.leave(1, 'third');
    assert.deepEqual(bob.told, ['second', 'third']);
    assert.deepEqual(await bob.watch(1, 2), ['third', 'second']);
    assert.deepEqual(alice.told, []);
  });

  it('places watched before are watched no more', async () => {
    const { alice, bob } = create();
    await bob.watch(1);
    await bob.watch(2);
    await alice.leave(1, 'one');
    await alice.leave(2, 'two');
    assert.deepEqual(bob.told, ['two']);
    await bob.watch();
    await alice.leave(2, 'more');
    assert.deepEqual(bob.told, ['two']);
  });

  it('what is left again unchanged is told once, and lies there longer', async () => {
    const { clock, alice, bob } = create();
    await bob.watch(1);
    await alice.leave(1, 'one');
    clock.advance(LEFT_LIFE_MS / 2);
    await alice.leave(1, 'one');
    clock.advance(LEFT_LIFE_MS - 1);
    assert.deepEqual(bob.told, ['one']);
    assert.deepEqual(await bob.watch(1), ['one']);
  });

  it('each has one value at a place: nobody takes away what another left, readers get the newest of others', async () => {
    const { mailbox, alice, bob } = create();
    const carol = open(mailbox, 'carol');
    await alice.leave(1, 'of alice');
    await carol.leave(1, 'of carol');
    assert.equal(mailbox.size, 2);
    assert.deepEqual(await bob.watch(1), ['of carol']);
    assert.deepEqual(await carol.watch(1), ['of alice']);
    await alice.leave(1, 'of alice again');
    assert.equal(mailbox.size, 2);
    assert.deepEqual(await bob.watch(1), ['of alice again']);
    alice.close();
    assert.deepEqual(await bob.watch(1), ['of carol']);
  });

  it('the place and the value are kept as copies: their frame may be used again', async () => {
    const clock = createManualClock();
    const mailbox = createMailbox({ clock, allowed: () => true });
    const { handlers } = mailbox.open('alice', () => undefined);
    const [at, value] = [Buffer.from(place(1)), Buffer.from('value')];
    await handlers.leaveSignal({ place: at, value }, context);
    at.fill(0);
    value.fill(0);
    assert.deepEqual(await open(mailbox, 'bob').watch(1), ['value']);
  });

  for (const [early, found] of [
    [1, ['one']],
    [0, []],
    [-1, []],
  ] as const) {
    it(`${early} ms before two hours are over there are ${found.length} values`, async () => {
      const { clock, alice, bob } = create();
      await alice.leave(1, 'one');
      clock.advance(LEFT_LIFE_MS - early);
      assert.deepEqual(await bob.watch(1), found);
    });
  }

  it('is empty in the end without a call, and waits for nothing', async () => {
    const { clock, mailbox, alice, bob } = create();
    for (let i = 0; i < 10; i++) await alice.leave(i, 'value');
    await bob.watch(1);
    assert.equal(clock.pending, 1);
    clock.advance(LEFT_LIFE_MS + 10 * 60_000);
    assert.equal(mailbox.size, 0);
    assert.equal(clock.pending, 0);
  });

  it('a watch that was not asked for again for two hours ends with the others', async () => {
    const { clock, mailbox, alice, bob } = create();
    await bob.watch(1);
    await alice.leave(2, 'keeps the mailbox in use');
    clock.advance(LEFT_LIFE_MS + 10 * 60_000);
    await alice.leave(1, 'one');
    assert.deepEqual(bob.told, []);
    assert.equal(mailbox.counters.told, 0);
  });

  it('what a removed peer left goes with it, its calls are refused and it is told nothing', async () => {
    const { clock, mailbox, alice, bob } = create();
    await alice.leave(1, 'of alice');
    await bob.leave(2, 'of bob');
    await bob.watch(1);
    bob.close();
    bob.close();
    assert.equal(mailbox.size, 1);
    await alice.leave(1, 'news');
    assert.deepEqual(bob.told, []);
    await fails(bob.leave(3, 'more'), 'EACCES');
    await fails(bob.watch(1), 'EACCES');
    assert.deepEqual(await alice.watch(2, 3), []);
    alice.close();
    assert.deepEqual([mailbox.size, clock.pending], [0, 0]);
  });

  it('who is not allowed is refused', async () => {
    const { mailbox, alice, bob } = create((peerId) => peerId === 'alice');
    await fails(bob.leave(1, 'one'), 'EACCES');
    await fails(bob.watch(1), 'EACCES');
    await alice.leave(1, 'one');
    assert.deepEqual([mailbox.size, mailbox.counters.refused], [1, 2]);
  });
});

describe('mailbox: bounds', () => {
  for (const count of [MAX_LEFT_PER_PEER - 1, MAX_LEFT_PER_PEER, MAX_LEFT_PER_PEER + 1]) {
    it(`of ${count} values of one peer the newest ${MAX_LEFT_PER_PEER} stay`, async () => {
      const { mailbox, alice, bob } = create();
      await alice.leave(0, '0');
      await alice.leave(1, '1');
      // Left again: the newest now.
      await alice.leave(0, '0');
      for (let i = 2; i < count; i++) await alice.leave(i, String(i));
      const evicted = Math.max(0, count - MAX_LEFT_PER_PEER);
      assert.deepEqual([mailbox.size, mailbox.counters.evicted], [count - evicted, evicted]);
      assert.deepEqual(await bob.watch(0, 1, 2), ['0', ...(evicted > 0 ? [] : ['1']), '2']);
    });
  }

  for (const extra of [-1, 0, 1]) {
    it(`with ${MAX_LEFT} and ${extra} values those who left most make room, not those who left little`, async () => {
      const { clock, mailbox, alice, bob } = create();
      await alice.leave(0, 'the oldest of all');
      const full = Array.from({ length: MAX_LEFT / MAX_LEFT_PER_PEER - 1 }, (_, i) => open(mailbox, `peer-${i}`));
      const last = open(mailbox, 'last');
      let number = 1;
      const fill = async (user: User, count: number): Promise<void> => {
        for (let i = 0; i < count; i++) {
          if (number % 8 === 0) clock.advance(1000);
          await user.leave((number += 1), 'x');
        }
      };
      for (const user of full) await fill(user, MAX_LEFT_PER_PEER);
      await fill(last, MAX_LEFT_PER_PEER - 1 + extra);
      assert.equal(mailbox.size, MAX_LEFT + Math.min(0, extra));
      assert.equal(mailbox.counters.evicted, Math.max(0, extra));
      assert.deepEqual(await bob.watch(0), ['the oldest of all']);
    });
  }

  it('a peer leaves 512 values in a burst, then 4 a second; others are not held up', async () => {
    const { clock, mailbox, alice, bob } = create();
    for (let i = 0; i < 512; i++) await alice.leave(i % 2, String(i));
    await fails(alice.leave(0, 'too much'), 'OVERLOADED');
    await bob.leave(5, 'of bob');
    clock.advance(249);
    await fails(alice.leave(0, 'too early'), 'OVERLOADED');
    clock.advance(1);
    await alice.leave(0, 'in time');
    await fails(alice.leave(0, 'too much'), 'OVERLOADED');
    assert.equal(mailbox.counters.limited, 3);
  });

  it('a peer asks 32 times in a burst, then once a second', async () => {
    const { clock, alice, bob } = create();
    for (let i = 0; i < 32; i++) await alice.watch(i);
    await fails(alice.watch(1), 'OVERLOADED');
    await bob.watch(1);
    clock.advance(999);
    await fails(alice.watch(1), 'OVERLOADED');
    clock.advance(1);
    await alice.watch(1);
  });

  for (const [length, legal] of [
    [LIMITS.leftSignalBytes - 1, true],
    [LIMITS.leftSignalBytes, true],
    [LIMITS.leftSignalBytes + 1, false],
  ] as const) {
    it(`a value of ${length} bytes is ${legal ? 'legal' : 'malformed'}`, () => {
      const { request } = MESSAGES.leaveSignal;
      // Written as the larger of two protocols would.
      const wider = { ...request, value: { type: { bytes: 2048 }, doc: '' } } as const;
      const bytes = encodeFields(wider, { place: place(1), value: Buffer.alloc(length) });
      if (legal) assert.equal(decodeFields(request, bytes).value.length, length);
      else assert.throws(() => decodeFields(request, bytes), { code: 'PROTOCOL' });
    });
  }

  for (const [count, legal] of [
    [LIMITS.watchedPlaces - 1, true],
    [LIMITS.watchedPlaces, true],
    [LIMITS.watchedPlaces + 1, false],
  ] as const) {
    it(`a list of ${count} places is ${legal ? 'legal' : 'malformed'}`, () => {
      const { request } = MESSAGES.watchSignals;
      const wider = { places: { ...request.places, type: { ...request.places.type, max: 1000 } } } as const;
      const places = Array.from({ length: count }, (_, i) => ({ place: place(i) }));
      const bytes = encodeFields(wider, { places });
      if (legal) assert.equal(decodeFields(request, bytes).places.length, count);
      else assert.throws(() => decodeFields(request, bytes), { code: 'PROTOCOL' });
    });
  }

  it('the longest reply fits into a frame', () => {
    const signals: RequestOf<'signalLeft'>[] = Array.from({ length: LIMITS.watchedPlaces }, (_, i) => ({
      place: place(i),
      value: Buffer.alloc(LIMITS.leftSignalBytes),
    }));
    const { tag, reply } = MESSAGES.watchSignals;
    assert.ok(encodeFrame('reply', tag, 1, reply, { signals }).length <= LIMITS.frameBytes);
  });
});
