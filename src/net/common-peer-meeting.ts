/**
 * One meeting through peers in common: what lies for the other side at our place of the hour, and what of that which lies at
 * its places is news. Owns no connections: common-peers.ts carries both to and from mailboxes.
 */
import { fromBytes } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import {
  helperRank,
  hourOf,
  isFromFuture,
  MEETING_SIGNAL_BYTES,
  meetingPlace,
  placesAround,
  type MeetingPlace,
} from '../crypto/meeting.ts';
import type { RequestOf } from '../wire/schema.ts';
import { decodeLeftSignal, encodeLeftSignal, openLeftSignal } from './left-signal.ts';
import type { Meeting, MeetingOptions, MeetingStatus } from './rendezvous.ts';

type Mode = 'active' | 'passive' | 'idle';

/** What became of a value: news; known already; older than what was heard; not of the other side; of no place of ours. */
export type Hearing = 'heard' | 'same' | 'old' | 'wrong' | 'foreign' | 'flooded';

export interface CommonPeerMeetingOptions extends MeetingOptions {
  readonly clock: Clock;
  /** Whether a peer who helps is online. */
  readonly available: () => boolean;
  /** What is left or watched may be other than before. */
  readonly onChange: () => void;
  readonly onClose: () => void;
}

/** Of all meetings. */
let attendances = 0;

export class CommonPeerMeeting implements Meeting {
  readonly #options: CommonPeerMeetingOptions;
  #mode: Mode = 'idle';
  #closed = false;
  #attendance = 0;
  #status: MeetingStatus = { state: 'idle', at: undefined };

  #signal: Uint8Array | undefined;
  #sequence = 0;
  /** The signal at our place of the hour, sealed once. */
  #left: { readonly hour: number; readonly key: string; readonly left: RequestOf<'signalLeft'> } | undefined;

  /** The other side's places of these hours. */
  #hours = '';
  readonly #watched = new Map<string, MeetingPlace>();
  #heard: Uint8Array | undefined;
  #heardSequence = -1;
  #found = false;
  readonly #ranks = new Map<string, number>();

  constructor(options: CommonPeerMeetingOptions) {
    this.#options = { ...options, secret: Uint8Array.from(options.secret) };
  }

  get status(): MeetingStatus {
    return this.#status;
  }

  get mode(): Mode {
    return this.#mode;
  }

  /** Another number each time that it is no longer idle. */
  get attendance(): number {
    return this.#attendance;
  }

  /** Whom it is with, if known. */
  get peerId(): string | undefined {
    return this.#options.peerId;
  }

  /** @throws RangeError for a signal above MEETING_SIGNAL_BYTES. */
  say(signal: Uint8Array): void {
    if (signal.length > MEETING_SIGNAL_BYTES) throw new RangeError('signal too long');
    if (this.#closed || (this.#signal !== undefined && Buffer.from(this.#signal).equals(signal))) return;
    this.#signal = Uint8Array.from(signal);
    this.#sequence = Math.max(Math.floor(this.#options.clock.wallMs()), this.#sequence + 1);
    this.#left = undefined;
    if (this.#mode !== 'idle') this.#options.onChange();
  }

  attend(mode: Mode): void {
    if (this.#closed || mode === this.#mode) return;
    if (this.#mode === 'idle') this.#attendance = attendances += 1;
    this.#mode = mode;
    if (mode === 'idle') this.#found = false;
    this.update();
    this.#options.onChange();
  }

  close(): void {
    if (this.#closed) return;
    this.attend('idle');
    this.#closed = true;
    this.#left = undefined;
    this.#watched.clear();
    this.#options.onClose();
  }

  /** Peers who help have come or gone. */
  update(): void {
    const { clock, available } = this.#options;
    const state = this.#mode === 'idle' ? 'idle' : !available() ? 'unavailable' : this.#found ? 'found' : 'looking';
    if (state !== this.#status.state) this.#status = { state, at: clock.wallMs() };
  }

  /** How much this helper is preferred to others by both sides. */
  rank(helper: string): number {
    const known = this.#ranks.get(helper);
    if (known !== undefined) return known;
    const rank = helperRank(this.#options.secret, helper);
    this.#ranks.set(helper, rank);
    return rank;
  }

  /** What is to lie at our place now: the same objects until it changes. */
  get left(): { readonly key: string; readonly left: RequestOf<'signalLeft'> } | undefined {
    const { secret, side, clock } = this.#options;
    if (this.#mode === 'idle' || this.#signal === undefined) return undefined;
    const hour = hourOf(clock.wallMs());
    if (this.#left?.hour !== hour) {
      const own = meetingPlace(secret, side, hour);
      const left = { place: own.place, value: encodeLeftSignal(own, this.#sequence, this.#signal) };
      this.#left = { hour, key: fromBytes(own.place), left };
    }
    return this.#left;
  }

  /** The places at which the other side's signal may lie now. */
  get watched(): ReadonlyMap<string, MeetingPlace> {
    const { secret, side, clock } = this.#options;
    const hours = placesAround(clock.wallMs());
    if (hours.join() !== this.#hours) {
      this.#hours = hours.join();
      const before = [...this.#watched.values()];
      this.#watched.clear();
      for (const hour of hours) {
        const place = before.find((one) => one.hour === hour) ?? meetingPlace(secret, side === 0 ? 1 : 0, hour);
        this.#watched.set(fromBytes(place.place), place);
      }
    }
    return this.#watched;
  }

  /** @param mayOpen asked before the dear part, the signature. */
  hear(key: string, value: Uint8Array, mayOpen: () => boolean): Hearing {
    const place = this.#mode === 'idle' ? undefined : this.#watched.get(key);
    if (place === undefined) return 'foreign';
    const left = decodeLeftSignal(value);
    if (left === undefined || isFromFuture(left.sequence, this.#options.clock.wallMs())) return 'wrong';
    if (left.sequence <= this.#heardSequence) return left.sequence === this.#heardSequence ? 'same' : 'old';
    if (!mayOpen()) return 'flooded';
    const signal = openLeftSignal(place, left);
    if (signal === undefined) return 'wrong';
    this.#heardSequence = left.sequence;
    const isSame = this.#heard !== undefined && Buffer.from(this.#heard).equals(signal);
    this.#heard = signal;
    this.#found = true;
    this.update();
    if (isSame) return 'same';
    this.#options.onSignal(Uint8Array.from(signal));
    return 'heard';
  }
}
