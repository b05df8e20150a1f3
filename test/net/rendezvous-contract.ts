/**
 * What every Rendezvous holds to (src/net/rendezvous.ts), run by each implementation: the DHT, a peer in common, memory.
 * An implementation brings two nodes that the way connects; the contract does the rest, in the time that `pass` lets go by.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { Meeting, MeetingSecret, Rendezvous } from '../../src/net/rendezvous.ts';
import { SIGNAL_BYTES } from '../../src/wire/candidate.ts';

export interface ContractNodes {
  readonly nodes: readonly [Rendezvous, Rendezvous];
  /** Lets time go by until something has had time to happen; called again and again. */
  pass(): Promise<void>;
  /** Ends both and all that belongs to them. */
  close(): Promise<void>;
}

/** Passes before a test gives up. */
const MOST_PASSES = 3000;
/** Passes in which what must not happen has its chance. */
const QUIET_PASSES = 50;

interface End {
  readonly meeting: Meeting;
  /** Texts, in the order in which they came. */
  readonly heard: string[];
}

function meet(rendezvous: Rendezvous, { secret, side }: MeetingSecret): End {
  const heard: string[] = [];
  const onSignal = (signal: Uint8Array): void => void heard.push(Buffer.from(signal).toString('latin1'));
  return { meeting: rendezvous.meet({ secret, side, onSignal }), heard };
}

/** Defines the tests of the contract for nodes that `make` makes. */
export function testRendezvousContract(name: string, make: () => Promise<ContractNodes>): void {
  const check = (
    does: string,
    run: (a: End, b: End, until: Until, nodes: ContractNodes) => Promise<void>,
    secret: () => Uint8Array = () => randomBytes(32),
  ): void =>
    void test(`${name}: ${does}`, async () => {
      const nodes = await make();
      const until: Until = async (what, holds) => {
        for (let pass = 0; !holds(); pass++) {
          assert.ok(pass < MOST_PASSES, `never: ${what}`);
          await nodes.pass();
        }
      };
      const shared = secret();
      try {
        const a = meet(nodes.nodes[0], { secret: shared, side: 0 });
        const b = meet(nodes.nodes[1], { secret: Uint8Array.from(shared), side: 1 });
        await run(a, b, until, nodes);
      } finally {
        await nodes.close();
      }
    });

  const quiet = async (nodes: ContractNodes): Promise<void> => {
    for (let pass = 0; pass < QUIET_PASSES; pass++) await nodes.pass();
  };

  check('each hears what the other says, whole and of any length', async (a, b, until) => {
    const long = randomBytes(SIGNAL_BYTES);
    a.meeting.say(long);
    b.meeting.say(Buffer.from('b'));
    a.meeting.attend('active');
    b.meeting.attend('active');
    await until('signals', () => a.heard.length > 0 && b.heard.length > 0);
    assert.deepEqual([a.heard, b.heard], [['b'], [long.toString('latin1')]]);
    assert.deepEqual([a.meeting.status.state, b.meeting.status.state], ['found', 'found']);
    assert.equal(typeof a.meeting.status.at, 'number');
  });

  check(
    'a token of an invitation serves as the secret',
    async (a, b, until) => {
      a.meeting.say(Buffer.from('a'));
      a.meeting.attend('passive');
      b.meeting.attend('active');
      await until('the signal', () => b.heard.includes('a'));
    },
    () => randomBytes(16),
  );

  check('what is said instead is heard, and the same is heard once', async (a, b, until, nodes) => {
    for (const end of [a, b]) end.meeting.attend('active');
    a.meeting.say(Buffer.from('first'));
    await until('the first', () => b.heard.length > 0);
    a.meeting.say(Buffer.from('second'));
    await until('the second', () => b.heard.includes('second'));
    a.meeting.say(Buffer.from('second'));
    await quiet(nodes);
    assert.deepEqual(b.heard, ['first', 'second']);
  });

  check('a meeting begins idle, and an idle one says and hears nothing', async (a, b, until, nodes) => {
    assert.deepEqual(a.meeting.status, { state: 'idle', at: undefined });
    a.meeting.say(Buffer.from('a'));
    b.meeting.say(Buffer.from('b'));
    b.meeting.attend('active');
    await quiet(nodes);
    assert.deepEqual([a.heard, b.heard], [[], []]);
    assert.equal(b.meeting.status.state, 'looking');
    a.meeting.attend('active');
    await until('signals', () => a.heard.includes('b') && b.heard.includes('a'));
    a.meeting.attend('idle');
    b.meeting.say(Buffer.from('later'));
    await quiet(nodes);
    assert.deepEqual(a.heard, ['b']);
    assert.equal(a.meeting.status.state, 'idle');
  });

  check('who comes later hears what was said before', async (a, b, until, nodes) => {
    a.meeting.say(Buffer.from('early'));
    a.meeting.attend('active');
    await quiet(nodes);
    b.meeting.attend('active');
    await until('the signal', () => b.heard.includes('early'));
  });

  check('other secrets and the own side are not heard', async (a, b, until, nodes) => {
    const secret = randomBytes(32);
    const same = nodes.nodes.map((node) => meet(node, { secret, side: 0 }));
    const other = meet(nodes.nodes[1], { secret: randomBytes(32), side: 1 });
    for (const end of [a, b, other, ...same]) {
      end.meeting.say(randomBytes(8));
      end.meeting.attend('active');
    }
    await until('the pair', () => a.heard.length === 1 && b.heard.length === 1);
    await quiet(nodes);
    assert.deepEqual(
      [...same, other].map(({ heard }) => heard.length),
      [0, 0, 0],
    );
    for (const end of [other, ...same]) end.meeting.close();
  });

  check('a closed meeting is silent for ever, and closing twice is nothing', async (a, b, until, nodes) => {
    for (const end of [a, b]) end.meeting.attend('active');
    a.meeting.say(Buffer.from('a'));
    await until('the signal', () => b.heard.length > 0);
    b.meeting.close();
    b.meeting.close();
    b.meeting.attend('active');
    b.meeting.say(Buffer.from('b'));
    a.meeting.say(Buffer.from('again'));
    await quiet(nodes);
    assert.deepEqual([a.heard, b.heard], [[], ['a']]);
    assert.equal(b.meeting.status.state, 'idle');
  });
}

type Until = (what: string, holds: () => boolean) => Promise<void>;
