/**
 * Peers in common as a rendezvous: two who know a third, who is online, leave signals for each other in its mailbox
 * (mailbox.ts). Neither knows whom the other knows, so both go to all their peers; where there are too many, to the same
 * few, chosen by what only the two know. Owns which meeting goes to whom, and the turn of the hour. Does not own the calls
 * (helping-peer.ts) or what a signal is sealed in (common-peer-meeting.ts).
 */
import { fromBytes } from '../bytestring.ts';
import type { Clock, Timer } from '../clock.ts';
import { hourOf, untilNextHourMs } from '../crypto/meeting.ts';
import type { Logger } from '../log.ts';
import { LIMITS, type RequestOf } from '../wire/schema.ts';
import type { Channel } from './channel.ts';
import { CommonPeerMeeting, type Hearing } from './common-peer-meeting.ts';
import { HelpingPeer, type Wanted } from './helping-peer.ts';
import { createRateLimit } from './rate-limit.ts';
import type { Rendezvous } from './rendezvous.ts';

/** Tuning. */
/** Peers who help one meeting at a time. */
export const MAX_HELPERS = 8;
/** Meetings that one peer helps: each watches the places of three hours. */
export const MAX_MEETINGS_PER_HELPER = Math.floor(LIMITS.watchedPlaces / 3);
/** Changes in quick succession become one. Milliseconds. */
const UPDATE_PAUSE_MS = 100;
/** Leaving at the next hour's place is spread over this time after the turn. Milliseconds. */
const TURN_SPREAD_MS = 5000;
/** The hour is looked at at least so often: timers stand still while the computer sleeps. Milliseconds. */
const LOOK_EVERY_MS = 30_000;
/** Values that claim to be news are opened so often, for each peer who brings them: in a burst, and a second. */
const OPEN_BURST = 256;
const OPEN_PER_SECOND = 4;
const OPEN_ALL_PEERS = 8;

export interface CommonPeers extends Rendezvous {
  readonly way: 'peer';
  /** Peers who are online and may help. */
  readonly helping: number;
  /** What became of the values that mailboxes gave us. */
  readonly counters: Readonly<Record<Hearing, number>>;
  /** A peer who may help whenever it is live, until it is closed. */
  add(channel: Channel): CommonPeer;
}

export interface CommonPeer {
  /** The push `signalLeft` came from it. */
  signalLeft(request: RequestOf<'signalLeft'>): void;
  /** Idempotent. */
  close(): void;
}

export interface CommonPeersOptions {
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly log: Logger;
}

export function createCommonPeers({ clock, random, log }: CommonPeersOptions): CommonPeers {
  const counters: Record<Hearing, number> = { heard: 0, same: 0, old: 0, wrong: 0, foreign: 0, flooded: 0 };
  const helpers = new Set<HelpingPeer>();
  const meetings = new Set<CommonPeerMeeting>();
  const opening = createRateLimit({
    clock,
    perSecond: OPEN_PER_SECOND,
    burst: OPEN_BURST,
    totalPerSecond: OPEN_ALL_PEERS * OPEN_PER_SECOND,
    totalBurst: OPEN_ALL_PEERS * OPEN_BURST,
  });
  let updating: Timer | undefined;
  let looking: Timer | undefined;
  let hour = hourOf(clock.wallMs());

  const attended = (): CommonPeerMeeting[] => [...meetings].filter(({ mode }) => mode !== 'idle');

  const isHelpedBy = (meeting: CommonPeerMeeting, helper: HelpingPeer): boolean => {
    if (helper.peerId === meeting.peerId || !helper.helps) return false;
    const others = [...helpers].filter((other) => other.helps && other.peerId !== meeting.peerId);
    if (others.length <= MAX_HELPERS) return true;
    const own = meeting.rank(helper.peerId);
    return others.filter(({ peerId }) => meeting.rank(peerId) < own).length < MAX_HELPERS;
  };

  const wantedOf = (helper: HelpingPeer): Wanted => {
    const helped = attended().filter((meeting) => isHelpedBy(meeting, helper));
    const chosen = ['active', 'passive']
      .flatMap((mode) => helped.filter((meeting) => meeting.mode === mode))
      .slice(0, MAX_MEETINGS_PER_HELPER);
    return {
      leave: new Map(chosen.flatMap(({ left }) => (left === undefined ? [] : [[left.key, left.left] as const]))),
      watchedBy: chosen
        .map(({ attendance }) => attendance)
        .sort((a, b) => a - b)
        .join(),
      watch: new Map(chosen.flatMap(({ watched }) => [...watched].map(([key, { place }]) => [key, place] as const))),
    };
  };

  const update = (): void => {
    for (const meeting of meetings) meeting.update();
    updating ??= clock.after(UPDATE_PAUSE_MS, () => {
      updating = undefined;
      for (const helper of helpers) helper.update();
    });
    lookLater();
  };

  const lookLater = (): void => {
    if (attended().length === 0) {
      looking?.cancel();
      looking = undefined;
      return;
    }
    const untilTurnMs = untilNextHourMs(clock.wallMs()) + random() * TURN_SPREAD_MS;
    looking ??= clock.after(Math.min(untilTurnMs, LOOK_EVERY_MS), () => {
      looking = undefined;
      const now = hourOf(clock.wallMs());
      if (now === hour) return lookLater();
      hour = now;
      update();
    });
  };

  const heard = (helper: HelpingPeer, { place, value }: RequestOf<'signalLeft'>): void => {
    const key = fromBytes(place);
    let isForeign = true;
    for (const meeting of [...meetings]) {
      const hearing = meeting.hear(key, value, () => opening.take(helper.peerId));
      if (hearing === 'foreign') continue;
      isForeign = false;
      counters[hearing] += 1;
    }
    if (isForeign) counters.foreign += 1;
  };

  return {
    way: 'peer',
    counters,
    get helping() {
      return [...helpers].filter(({ isLive }) => isLive).length;
    },
    add(channel) {
      const helper: HelpingPeer = new HelpingPeer({
        channel,
        clock,
        log,
        wanted: () => wantedOf(helper),
        onLeft: (left) => heard(helper, left),
        onChange: update,
      });
      helpers.add(helper);
      update();
      return {
        signalLeft: (request) => heard(helper, request),
        close() {
          if (!helpers.delete(helper)) return;
          helper.close();
          update();
        },
      };
    },
    meet(options) {
      const meeting = new CommonPeerMeeting({
        ...options,
        clock,
        available: () => [...helpers].some((helper) => helper.isLive && helper.peerId !== options.peerId),
        onChange: update,
        onClose: () => meetings.delete(meeting),
      });
      meetings.add(meeting);
      return meeting;
    },
  };
}
