/**
 * One meeting in the DHT: says our signal at our side's place of the hour, and looks for the other side's at its places of
 * this hour and its neighbours. Owns when, and which values are news. Does not own the node (dht-node.ts) or how much goes
 * on at once (the queue of dht.ts).
 *
 * News is judged by the item's sequence number, which is the other side's clock in milliseconds, rising: a storing node can
 * give back an old value, never a changed one.
 */
import type { Clock, Timer } from '../clock.ts';
import {
  hourOf,
  isFromFuture,
  MEETING_SIGNAL_BYTES,
  meetingPlace,
  openSignal,
  placesAround,
  sealSignal,
  untilNextHourMs,
  type MeetingPlace,
} from '../crypto/meeting.ts';
import type { DhtNode } from './dht-node.ts';
import type { Meeting, MeetingOptions, MeetingStatus } from './rendezvous.ts';

/** Tuning. Milliseconds. */
/** Between looks while active: at first, by how much longer each time, at last. */
const FIRST_LOOK_MS = 1000;
const LOOK_GROWTH = 1.15;
const LAST_LOOK_MS = 15_000;
const LOOK_PAUSE_MS = 500;
/** Between looks while passive, and how many milliseconds each passive meeting adds for all. */
const PASSIVE_LOOK_MS = 60_000;
const PASSIVE_SHARE_MS = 1000;
/** What is stored is stored again so often, should nodes have gone. */
const REPUBLISH_MS = 30 * 60_000;
/** Changes of what we say in quick succession become one. */
const SAY_PAUSE_MS = 500;
const FIRST_RETRY_MS = 2000;
const LAST_RETRY_MS = 60_000;
/** Publishing in the next hour's place is spread over this time after the turn. */
const TURN_SPREAD_MS = { active: 1000, passive: 60_000 } as const;

type Mode = 'active' | 'passive' | 'idle';

export interface DhtMeetingOptions extends MeetingOptions {
  readonly node: DhtNode;
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  /** Runs a job when there is room; urgent ones first. A job never rejects. */
  readonly enqueue: (job: () => Promise<void>, urgent: boolean) => void;
  /** Meetings that are passive now. */
  readonly passive: () => number;
  readonly onClose: () => void;
}

export class DhtMeeting implements Meeting {
  readonly #options: DhtMeetingOptions;
  #mode: Mode = 'idle';
  #closed = false;
  #status: MeetingStatus = { state: 'idle', at: undefined };
  /** Places of this hour and its neighbours, by side and hour. */
  readonly #places = new Map<string, MeetingPlace>();

  /** What we say; `said` counts its changes. */
  #signal: Uint8Array | undefined;
  #said = 0;
  #published: { readonly hour: number; readonly said: number } | undefined;
  #publishing = false;
  #lastSeq = 0;
  #failures = 0;
  #publishTimer: Timer | undefined;

  /** The other side's last, and its number. */
  #heard: Uint8Array | undefined;
  #heardSeq = -1;
  #looks = 0;
  #looking = false;
  #lookTimer: Timer | undefined;

  constructor(options: DhtMeetingOptions) {
    this.#options = { ...options, secret: Uint8Array.from(options.secret) };
  }

  get status(): MeetingStatus {
    return this.#status;
  }

  get mode(): Mode {
    return this.#mode;
  }

  /** @throws RangeError for a signal above MEETING_SIGNAL_BYTES. */
  say(signal: Uint8Array): void {
    if (signal.length > MEETING_SIGNAL_BYTES) throw new RangeError('signal too long');
    if (this.#closed || (this.#signal !== undefined && Buffer.from(this.#signal).equals(signal))) return;
    const first = this.#signal === undefined;
    this.#signal = Uint8Array.from(signal);
    this.#said += 1;
    this.#failures = 0;
    this.#publishAfter(first ? 0 : SAY_PAUSE_MS);
  }

  attend(mode: Mode): void {
    if (this.#closed || mode === this.#mode) return;
    const before = this.#mode;
    this.#mode = mode;
    if (before === 'idle') this.#heard = undefined;
    this.#looks = 0;
    this.#lookTimer?.cancel();
    if (mode === 'idle') {
      this.#publishTimer?.cancel();
      this.#published = undefined;
    } else {
      if (before === 'idle' || mode === 'active') this.#failures = 0;
      if (this.#published?.said !== this.#said) this.#publishAfter(0);
      this.#lookAfter(0);
    }
    this.#update();
  }

  /** The node became ready, or is so no more. */
  nodeChanged(): void {
    this.#update();
    if (this.#closed || this.#mode === 'idle' || this.#options.node.status.state !== 'ready') return;
    this.#looks = 0;
    this.#failures = 0;
    this.#lookAfter(0);
    const current = this.#published?.said === this.#said && this.#published.hour === this.#hour();
    this.#publishAfter(current ? this.#options.random() * REPUBLISH_MS : 0);
  }

  close(): void {
    if (this.#closed) return;
    this.attend('idle');
    this.#closed = true;
    this.#places.clear();
    this.#options.onClose();
  }

  #hour(): number {
    return hourOf(this.#options.clock.wallMs());
  }

  /** Whether there is something to be done at all now; if the node is not ready, nodeChanged() comes again. */
  #attends(): boolean {
    return !this.#closed && this.#mode !== 'idle' && this.#options.node.status.state === 'ready';
  }

  #update(): void {
    const { clock, node } = this.#options;
    const state =
      this.#mode === 'idle'
        ? 'idle'
        : node.status.state === 'failed'
          ? 'unavailable'
          : this.#heard === undefined
            ? 'looking'
            : 'found';
    if (state !== this.#status.state) this.#status = { state, at: clock.wallMs() };
  }

  #place(side: 0 | 1, hour: number): MeetingPlace {
    const name = `${side} ${hour}`;
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    const place = meetingPlace(this.#options.secret, side, hour);
    const around = placesAround(this.#options.clock.wallMs());
    for (const [other, { hour: of }] of this.#places) if (!around.includes(of)) this.#places.delete(other);
    this.#places.set(name, place);
    return place;
  }

  // Saying

  #publishAfter(delayMs: number): void {
    this.#publishTimer?.cancel();
    this.#publishTimer = this.#options.clock.after(delayMs, () => this.#expiredPublish());
  }

  #expiredPublish(): void {
    if (!this.#attends() || this.#signal === undefined || this.#publishing) return;
    this.#publishing = true;
    this.#options.enqueue(async () => {
      const delayMs = this.#attends() ? await this.#publish() : undefined;
      this.#publishing = false;
      if (delayMs !== undefined && this.#attends()) this.#publishAfter(delayMs);
    }, this.#mode === 'active');
  }

  /** @returns after how long to do so again. */
  async #publish(): Promise<number> {
    const { node, clock, side } = this.#options;
    const place = this.#place(side, this.#hour());
    let stored = 0;
    await node.get(place, (_value, seq) => {
      if (!isFromFuture(seq, clock.wallMs())) stored = Math.max(stored, seq);
    });
    const [signal, said] = [this.#signal, this.#said];
    if (signal === undefined || !this.#attends()) return SAY_PAUSE_MS;
    this.#lastSeq = Math.max(Math.floor(clock.wallMs()), this.#lastSeq + 1, stored + 1);
    const taken = await node.put(place, sealSignal(place, signal), this.#lastSeq);
    if (taken === 0) {
      this.#failures += 1;
      return Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    }
    this.#failures = 0;
    this.#published = { hour: place.hour, said };
    if (said !== this.#said || place.hour !== this.#hour()) return SAY_PAUSE_MS;
    const spread = TURN_SPREAD_MS[this.#mode === 'active' ? 'active' : 'passive'];
    return Math.min(REPUBLISH_MS, untilNextHourMs(clock.wallMs()) + this.#options.random() * spread);
  }

  // Looking

  #lookAfter(delayMs: number): void {
    this.#lookTimer?.cancel();
    this.#lookTimer = this.#options.clock.after(delayMs, () => this.#expiredLook());
  }

  #expiredLook(): void {
    if (!this.#attends() || this.#looking) return;
    // Timers stand still while the computer sleeps; looks notice the turn of the hour too.
    if (this.#published !== undefined && this.#published.hour !== this.#hour()) this.#expiredPublish();
    this.#looking = true;
    const { clock } = this.#options;
    const from = clock.now();
    this.#options.enqueue(async () => {
      if (this.#attends()) await this.#look();
      this.#looking = false;
      if (!this.#attends()) return;
      this.#lookAfter(Math.max(LOOK_PAUSE_MS, from + this.#periodMs() - clock.now()));
    }, this.#mode === 'active');
  }

  #periodMs(): number {
    const { random, passive } = this.#options;
    if (this.#mode === 'active') return Math.min(LAST_LOOK_MS, FIRST_LOOK_MS * LOOK_GROWTH ** (this.#looks - 1));
    return Math.max(PASSIVE_LOOK_MS, PASSIVE_SHARE_MS * passive()) * (0.75 + random() / 2);
  }

  /** This hour's place always; one of its neighbours in turn, for clocks that are off, and both at first. */
  async #look(): Promise<void> {
    const { node, side, clock } = this.#options;
    const [now = 0, ...neighbours] = placesAround(clock.wallMs());
    const neighbour = neighbours[this.#looks % neighbours.length] ?? now;
    const hours = this.#looks === 0 ? [now, ...neighbours] : [now, neighbour];
    this.#looks += 1;
    await Promise.all(
      hours.map((hour) => {
        const place = this.#place(side === 0 ? 1 : 0, hour);
        return node.get(place, (value, seq) => this.#found(place, value, seq));
      }),
    );
  }

  #found(place: MeetingPlace, value: Uint8Array, seq: number): void {
    if (this.#closed || this.#mode === 'idle' || seq <= this.#heardSeq) return;
    if (isFromFuture(seq, this.#options.clock.wallMs())) return;
    const signal = openSignal(place, value);
    if (signal === undefined) return;
    this.#heardSeq = seq;
    const same = this.#heard !== undefined && Buffer.from(this.#heard).equals(signal);
    this.#heard = signal;
    this.#update();
    if (!same) this.#options.onSignal(Uint8Array.from(signal));
  }
}
