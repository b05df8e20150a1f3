import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createInvitationMeeting } from '../../src/daemon/invitation-meeting.ts';
import { createAddressRules } from '../../src/net/address-rules.ts';
import { createCandidates } from '../../src/net/candidates.ts';
import type { Endpoint } from '../../src/net/endpoint.ts';
import type { MeetingOptions, Rendezvous } from '../../src/net/rendezvous.ts';
import { CANDIDATE_TYPE, SIGNAL, type WireCandidate } from '../../src/wire/candidate.ts';
import { encodeStruct } from '../../src/wire/codec.ts';
import { createManualClock } from '../manual-clock.ts';

const TOKEN = new Uint8Array(16).fill(3);

/** An invitation's creator, and who can say what he likes under its token. */
function createWorld() {
  const clock = createManualClock();
  const punched: { readonly host: string; readonly at: number }[] = [];
  const endpoint: Pick<Endpoint, 'relays' | 'punch'> = {
    relays: [],
    punch: ({ host }) => punched.push({ host, at: clock.now() }),
  };
  const met: MeetingOptions[] = [];
  const rendezvous: Rendezvous = {
    way: 'peer',
    meet(options) {
      met.push(options);
      return {
        status: { state: 'looking', at: undefined },
        say: () => undefined,
        attend: () => undefined,
        close: () => undefined,
      };
    },
  };
  const meeting = createInvitationMeeting({
    endpoint,
    candidates: createCandidates(createAddressRules([], [])),
    rendezvous: [rendezvous],
    onions: undefined,
    clock,
  });
  let said = 0;
  return {
    clock,
    punched,
    meeting,
    say(...hosts: string[]) {
      const candidates = hosts.map((host): WireCandidate => ({
        type: CANDIDATE_TYPE.reflexive,
        transports: 1,
        host,
        port: 9,
      }));
      const timestampMs = clock.wallMs() + (said += 1);
      met[0]?.onSignal(encodeStruct(SIGNAL, { timestampMs, wanted: true, candidates }));
    },
  };
}

test("the router's way is opened for the guest of an invitation for a few seconds", () => {
  const { clock, punched, meeting, say } = createWorld();
  meeting.invite(TOKEN);
  say('192.0.2.1', '192.0.2.2');
  clock.advance(60_000);
  assert.equal(punched.length, 2 * 12);
  assert.equal(punched.at(-1)?.at, 11 * 250);
  say();
  clock.advance(60_000);
  assert.equal(punched.length, 2 * 12);
});

test('whoever holds an invitation has nobody sent more by saying more', () => {
  const { clock, punched, meeting, say } = createWorld();
  meeting.invite(TOKEN);
  for (let i = 0; i < 500; i++) say(`192.0.2.${i % 250}`);
  clock.advance(60_000);
  assert.equal(punched.length, 1 + 12);
  assert.equal(punched.at(-1)?.host, '192.0.2.249');
});

test('when the invitation is closed nothing more is sent', () => {
  const { clock, punched, meeting, say } = createWorld();
  const invited = meeting.invite(TOKEN);
  say('192.0.2.1');
  clock.advance(300);
  invited.close();
  say('192.0.2.2');
  clock.advance(60_000);
  assert.equal(punched.length, 2);
});
