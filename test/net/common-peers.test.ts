import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { hourOf, meetingPlace } from '../../src/crypto/meeting.ts';
import { PeerfsError } from '../../src/errors.ts';
import type { Handlers } from '../../src/net/channel.ts';
import { MAX_HELPERS, MAX_MEETINGS_PER_HELPER } from '../../src/net/common-peers.ts';
import { encodeLeftSignal } from '../../src/net/left-signal.ts';
import type { Meeting } from '../../src/net/rendezvous.ts';
import { LIMITS, type RequestOf } from '../../src/wire/schema.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import {
  createMailboxNode,
  createSeekingNode,
  join,
  type Joint,
  type MailboxNode,
  type SeekingNode,
} from './mailbox-nodes.ts';
import { testRendezvousContract } from './rendezvous-contract.ts';

const HOUR_MS = 3600_000;

interface End {
  readonly meeting: Meeting;
  readonly heard: string[];
}

/** Alice and bob, who both know carol and have no path between them. */
interface Triangle {
  readonly clock: ManualClock;
  readonly carol: MailboxNode;
  readonly alice: SeekingNode;
  readonly bob: SeekingNode;
  readonly joints: readonly [Joint, Joint];
  readonly secret: Uint8Array;
  meet(node: SeekingNode, side: 0 | 1, secret?: Uint8Array): End;
  /** Alice and bob, active. */
  both(): readonly [End, End];
  close(): void;
}

function createTriangle(carol?: (clock: ManualClock) => MailboxNode): Triangle {
  const clock = createManualClock();
  const helper = carol?.(clock) ?? createMailboxNode(clock, 'carol');
  const [alice, bob] = [createSeekingNode(clock, 'alice', 1), createSeekingNode(clock, 'bob', 2)];
  const secret = randomBytes(32);
  const joints = [join(clock, alice, helper, 3), join(clock, bob, helper, 3)] as const;
  const triangle: Triangle = {
    clock,
    carol: helper,
    alice,
    bob,
    joints,
    secret,
    meet(node, side, shared = secret) {
      const heard: string[] = [];
      const meeting = node.commonPeers.meet({
        secret: shared,
        side,
        peerId: node === alice ? 'bob' : 'alice',
        onSignal: (signal) => void heard.push(Buffer.from(signal).toString('latin1')),
      });
      return { meeting, heard };
    },
    both() {
      const ends = [triangle.meet(alice, 0), triangle.meet(bob, 1)] as const;
      for (const { meeting } of ends) meeting.attend('active');
      return ends;
    },
    close: () => joints.forEach((joint) => joint.close()),
  };
  return triangle;
}

const say = ({ meeting }: End, text: string): void => meeting.say(Buffer.from(text));

testRendezvousContract('a peer in common', async () => {
  const { clock, alice, bob, close } = createTriangle();
  return { nodes: [alice.commonPeers, bob.commonPeers], pass: () => clock.run(20), close: async () => close() };
});

describe('a peer in common', () => {
  it('carries what is said within a moment, and learns nothing of it but its length, which is always the same', async () => {
    const seen: Uint8Array[] = [];
    const triangle = createTriangle((clock) => {
      const node = createMailboxNode(clock, 'carol');
      const leaveSignal: Handlers['leaveSignal'] = async ({ value }) => {
        seen.push(Uint8Array.from(value));
        return { reply: {} };
      };
      return { ...node, answers: { leaveSignal } };
    });
    const [a] = triangle.both();
    for (const text of ['', 'a signal that carol must not read', 'x'.repeat(900)]) {
      say(a, text);
      await triangle.clock.run(1000);
    }
    assert.deepEqual(
      seen.map(({ length }) => length),
      [1014, 1014, 1014],
    );
    assert.ok(seen.every((value) => !Buffer.from(value).includes('carol')));
    triangle.close();
  });

  it('a meeting is with another than the helper: the peer itself is not asked to carry to itself', async () => {
    const clock = createManualClock();
    const bob = createMailboxNode(clock, 'bob');
    const alice = createSeekingNode(clock, 'alice', 1);
    const joint = join(clock, alice, bob, 2);
    const meeting = alice.commonPeers.meet({
      secret: randomBytes(32),
      side: 0,
      peerId: 'bob',
      onSignal: () => undefined,
    });
    meeting.say(Buffer.from('a'));
    meeting.attend('active');
    await clock.run(10_000);
    assert.deepEqual(bob.calls, { leaveSignal: 0, watchSignals: 0 });
    assert.equal(meeting.status.state, 'unavailable');
    assert.equal(alice.commonPeers.helping, 1);
    joint.close();
  });

  it('the way is unavailable while no helper is live, and works when one is again', async () => {
    const triangle = createTriangle();
    const { clock, joints } = triangle;
    const [a, b] = triangle.both();
    await clock.run(1000);
    assert.equal(a.meeting.status.state, 'looking');
    joints[0].far.close('shutting-down');
    await clock.run(1000);
    assert.deepEqual([a.meeting.status.state, b.meeting.status.state], ['unavailable', 'looking']);
    assert.equal(triangle.alice.commonPeers.helping, 0);
    say(b, 'meanwhile');
    joints[0].restart(triangle.carol, 3);
    await clock.run(1000);
    assert.deepEqual([a.heard, a.meeting.status.state], [['meanwhile'], 'found']);
    triangle.close();
  });

  it('what was told while the path was cut is heard when there is one again', async () => {
    const triangle = createTriangle();
    const { clock, joints } = triangle;
    const [a, b] = triangle.both();
    await clock.run(1000);
    joints[0].paths.silent = true;
    say(b, 'lost on its way');
    await clock.run(60_000);
    assert.deepEqual(a.heard, []);
    joints[0].restart(triangle.carol, 3);
    await clock.run(2000);
    assert.deepEqual(a.heard, ['lost on its way']);
    triangle.close();
  });

  it('after the helper has restarted with an empty mailbox both leave and watch again', async () => {
    const triangle = createTriangle();
    const { clock, joints } = triangle;
    const [a, b] = triangle.both();
    say(a, 'a');
    await clock.run(1000);
    const next = createMailboxNode(clock, 'carol');
    for (const joint of joints) joint.restart(next, 4);
    await clock.run(2000);
    assert.equal(next.mailbox.size, 1);
    say(b, 'b');
    await clock.run(1000);
    assert.deepEqual([a.heard, b.heard], [['b'], ['a']]);
    triangle.close();
  });

  it('who is removed by the helper is heard no more, and what it left is gone', async () => {
    const triangle = createTriangle();
    const { clock, joints, carol } = triangle;
    const [a, b] = triangle.both();
    say(b, 'b');
    await clock.run(1000);
    assert.deepEqual([a.heard, carol.mailbox.size], [['b'], 1]);
    joints[1].remove();
    await clock.run(1000);
    assert.equal(carol.mailbox.size, 0);
    say(b, 'from outside');
    say(a, 'a');
    await clock.run(60_000);
    assert.deepEqual([a.heard, b.heard, b.meeting.status.state], [['b'], [], 'unavailable']);
    triangle.close();
  });

  it('at the turn of the hour both move to other places and stay in touch, in each of three hours', async () => {
    const triangle = createTriangle();
    const { clock, carol } = triangle;
    const [a, b] = triangle.both();
    say(a, 'a0');
    await clock.run(1000);
    for (const hour of [1, 2, 3]) {
      await clock.run(HOUR_MS);
      say(a, `a${hour}`);
      await clock.run(1000);
      assert.equal(b.heard.at(-1), `a${hour}`);
      assert.ok(carol.mailbox.size <= 3);
    }
    assert.deepEqual(b.heard, ['a0', 'a1', 'a2', 'a3']);
    const late = triangle.meet(triangle.bob, 1);
    late.meeting.attend('passive');
    await clock.run(1000);
    assert.deepEqual(late.heard, ['a3'], 'a place of the present hour has it');
    triangle.close();
  });

  it('clocks that differ by less than an hour meet', async () => {
    const triangle = createTriangle();
    const { clock, carol, secret } = triangle;
    const b = triangle.meet(triangle.bob, 1);
    b.meeting.attend('active');
    await clock.run(1000);
    const hour = hourOf(clock.wallMs());
    const alice = carol.mailbox.open('alice of another clock', () => undefined);
    const leave = async (at: number, text: string, sequence: number): Promise<void> => {
      const place = meetingPlace(secret, 0, at);
      const value = encodeLeftSignal(place, sequence, Buffer.from(text));
      await alice.handlers.leaveSignal({ place: place.place, value }, context);
      await clock.run(100);
    };
    await leave(hour - 2, 'two hours behind', 1);
    await leave(hour, 'of a far future', Number.MAX_SAFE_INTEGER);
    await leave(hour - 1, 'behind', 2);
    await leave(hour + 1, 'ahead', 3);
    await leave(hour + 2, 'two hours ahead', 4);
    assert.deepEqual(b.heard, ['behind', 'ahead']);
    triangle.close();
  });

  it('idle again: nothing is left any more, and nothing watched', async () => {
    const triangle = createTriangle();
    const { clock, carol } = triangle;
    const [a, b] = triangle.both();
    await clock.run(1000);
    b.meeting.attend('idle');
    await clock.run(1000);
    const { told } = carol.mailbox.counters;
    const calls = { ...carol.calls };
    say(b, 'b');
    say(a, 'a');
    await clock.run(1000);
    assert.equal(carol.mailbox.counters.told, told);
    assert.equal(carol.calls.leaveSignal, calls.leaveSignal + 1);
    assert.deepEqual([a.heard, b.heard], [[], []]);
    triangle.close();
  });

  it('nothing changes, nothing is sent: an hour of waiting is two calls', async () => {
    const triangle = createTriangle();
    const { clock, carol } = triangle;
    const [a] = triangle.both();
    say(a, 'a');
    await clock.run(1000);
    const before = { ...carol.calls };
    await clock.run(HOUR_MS);
    assert.equal(carol.calls.leaveSignal - before.leaveSignal, 1);
    assert.equal(carol.calls.watchSignals - before.watchSignals, 2, 'one of each');
    triangle.close();
  });
});

const context = { callId: 1, signal: new AbortController().signal, payload: new Uint8Array(0) };

describe('a peer in common that refuses', () => {
  for (const code of ['EACCES', 'UNSUPPORTED'] as const) {
    it(`${code}: is asked again after 10 minutes, no earlier`, async () => {
      const carol = { allows: false };
      const triangle = createTriangle((clock) => {
        const node = createMailboxNode(clock, 'carol');
        const { handlers } = node.mailbox.open('alice and bob', () => undefined);
        const watchSignals: Handlers['watchSignals'] = (request, given) =>
          carol.allows ? handlers.watchSignals(request, given) : Promise.reject(new PeerfsError(code));
        return { ...node, answers: { watchSignals } };
      });
      const { clock, alice } = triangle;
      const a = triangle.meet(alice, 0);
      a.meeting.attend('active');
      await clock.run(1000);
      assert.deepEqual(triangle.carol.calls, { leaveSignal: 0, watchSignals: 1 });
      assert.equal(a.meeting.status.state, 'unavailable');
      assert.equal(alice.commonPeers.helping, 0);
      say(a, 'a');
      carol.allows = true;
      await clock.run(10 * 60_000 - 2000);
      assert.deepEqual(triangle.carol.calls, { leaveSignal: 0, watchSignals: 1 });
      await clock.run(3000);
      assert.deepEqual(triangle.carol.calls, { leaveSignal: 1, watchSignals: 2 });
      assert.equal(a.meeting.status.state, 'looking');
      triangle.close();
    });
  }

  it('one that is too busy is asked again soon, ever more seldom', async () => {
    const triangle = createTriangle((clock) => ({
      ...createMailboxNode(clock, 'carol'),
      answers: { watchSignals: () => Promise.reject(new PeerfsError('OVERLOADED')) },
    }));
    const a = triangle.meet(triangle.alice, 0);
    a.meeting.attend('active');
    await triangle.clock.run(1000);
    assert.equal(a.meeting.status.state, 'looking');
    const counts: number[] = [];
    for (let minute = 0; minute < 4; minute++) {
      await triangle.clock.run(60_000);
      counts.push(triangle.carol.calls.watchSignals);
    }
    assert.deepEqual(counts, [4, 5, 6, 7]);
    triangle.close();
  });
});

describe('a hostile peer in common', () => {
  /** Carol says to bob whatever she likes. */
  async function meetHostile(): Promise<Triangle & { b: End; tell: (left: RequestOf<'signalLeft'>) => Promise<void> }> {
    const triangle = createTriangle();
    const b = triangle.meet(triangle.bob, 1);
    b.meeting.attend('active');
    await triangle.clock.run(1000);
    const tell = async (left: RequestOf<'signalLeft'>): Promise<void> => {
      triangle.joints[1].far.push('signalLeft', left);
      await triangle.clock.run(10);
    };
    return { ...triangle, b, tell };
  }

  it('values that alice did not leave are ignored and counted', async () => {
    const { clock, secret, bob, b, tell, close } = await meetHostile();
    const place = meetingPlace(secret, 0, hourOf(clock.wallMs()));
    const value = Buffer.from(encodeLeftSignal(place, 10, Buffer.from('true')));
    const forgeries = [Buffer.alloc(0), randomBytes(1014), value.subarray(1), Buffer.alloc(LIMITS.leftSignalBytes)];
    for (const at of [0, 8, 72, 1013]) {
      const changed = Buffer.from(value);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      forgeries.push(changed);
    }
    const otherPlace = meetingPlace(secret, 0, hourOf(clock.wallMs()) - 1);
    forgeries.push(Buffer.from(encodeLeftSignal(otherPlace, 11, Buffer.from('of another hour'))));
    forgeries.push(Buffer.from(encodeLeftSignal(meetingPlace(secret, 1, place.hour), 12, Buffer.from("bob's own"))));
    for (const forgery of forgeries) await tell({ place: place.place, value: forgery });
    await tell({ place: randomBytes(32), value });
    assert.deepEqual(b.heard, []);
    const { wrong, foreign, heard } = bob.commonPeers.counters;
    assert.deepEqual({ wrong, foreign, heard }, { wrong: forgeries.length, foreign: 1, heard: 0 });
    await tell({ place: place.place, value });
    assert.deepEqual(b.heard, ['true']);
    close();
  });

  it('what alice said before is not heard again', async () => {
    const { clock, secret, bob, b, tell, close } = await meetHostile();
    const place = meetingPlace(secret, 0, hourOf(clock.wallMs()));
    const values = ['first', 'second', 'third'].map((text, i) => encodeLeftSignal(place, i + 1, Buffer.from(text)));
    for (const i of [0, 2, 1, 0, 2, 2]) {
      const value = values[i];
      assert.ok(value !== undefined);
      await tell({ place: place.place, value });
    }
    assert.deepEqual(b.heard, ['first', 'third']);
    const { old, same } = bob.commonPeers.counters;
    assert.deepEqual({ old, same }, { old: 2, same: 2 });
    close();
  });

  it('a flood is dropped before it costs signatures, and what another helper brings is still heard', async () => {
    const { clock, secret, alice, bob, b, tell, close } = await meetHostile();
    const place = meetingPlace(secret, 0, hourOf(clock.wallMs()));
    const forged = Buffer.from(encodeLeftSignal(place, 1_000_000, Buffer.from('x')));
    forged.writeUInt8(forged.readUInt8(100) ^ 1, 100);
    for (let i = 0; i < 2000; i++) await tell({ place: place.place, value: forged });
    const { wrong, flooded } = bob.commonPeers.counters;
    assert.ok(wrong < 400 && flooded > 1600 && wrong + flooded === 2000, `${wrong} opened`);
    const dave = createMailboxNode(clock, 'dave');
    const joints = [join(clock, alice, dave, 5), join(clock, bob, dave, 5)];
    const a = alice.commonPeers.meet({ secret, side: 0, peerId: 'bob', onSignal: () => undefined });
    a.say(Buffer.from('by way of dave'));
    a.attend('active');
    await clock.run(1000);
    assert.deepEqual(b.heard, ['by way of dave']);
    for (const joint of joints) joint.close();
    close();
  });
});

describe('many peers in common', () => {
  for (const count of [MAX_HELPERS - 1, MAX_HELPERS, MAX_HELPERS + 1, 3 * MAX_HELPERS]) {
    it(`of ${count} helpers the same ${Math.min(count, MAX_HELPERS)} are used by both`, async () => {
      const clock = createManualClock();
      const [alice, bob] = [createSeekingNode(clock, 'alice', 1), createSeekingNode(clock, 'bob', 2)];
      const helpers = Array.from({ length: count }, (_, i) => createMailboxNode(clock, `helper-${i}`));
      const joints = helpers.flatMap((helper, i) => [alice, bob].map((node) => join(clock, node, helper, 10 + i)));
      const secret = randomBytes(32);
      const heard: string[] = [];
      const a = alice.commonPeers.meet({ secret, side: 0, onSignal: () => undefined });
      const b = bob.commonPeers.meet({ secret, side: 1, onSignal: (signal) => void heard.push(String(signal.length)) });
      a.say(Buffer.from('a'));
      a.attend('active');
      b.attend('active');
      await clock.run(2000);
      const used = helpers.filter(({ mailbox }) => mailbox.size > 0);
      assert.equal(used.length, Math.min(count, MAX_HELPERS));
      for (const { calls, mailbox } of helpers) {
        assert.equal(calls.watchSignals, mailbox.size > 0 ? 2 : 0);
      }
      assert.deepEqual(heard, ['1']);
      assert.equal(bob.commonPeers.counters.same, used.length - 1);
      for (const joint of joints) joint.close();
    });
  }

  for (const count of [MAX_MEETINGS_PER_HELPER, MAX_MEETINGS_PER_HELPER + 1]) {
    it(`of ${count} meetings one helper gets ${MAX_MEETINGS_PER_HELPER}, active ones first`, async () => {
      const clock = createManualClock();
      const alice = createSeekingNode(clock, 'alice', 1);
      const places = new Set<string>();
      const node = createMailboxNode(clock, 'carol');
      const leaveSignal: Handlers['leaveSignal'] = async ({ place }) => {
        places.add(Buffer.from(place).toString('hex'));
        return { reply: {} };
      };
      const joint = join(clock, alice, { ...node, answers: { leaveSignal } }, 3);
      const secrets = Array.from({ length: count }, () => randomBytes(32));
      for (const [i, secret] of secrets.entries()) {
        const meeting = alice.commonPeers.meet({ secret, side: 0, onSignal: () => undefined });
        meeting.say(Buffer.from('a'));
        meeting.attend(i === count - 1 ? 'active' : 'passive');
      }
      await clock.run(2000);
      assert.equal(places.size, MAX_MEETINGS_PER_HELPER);
      const place = meetingPlace(secrets.at(-1) ?? randomBytes(32), 0, hourOf(clock.wallMs()));
      assert.ok(places.has(Buffer.from(place.place).toString('hex')));
      joint.close();
    });
  }
});
