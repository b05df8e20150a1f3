/**
 * A rendezvous in memory: the nodes of one MemoryRendezvous find each other by what they both know, at once if both
 * attend. It can be made unavailable, as a way is whose servers do not answer.
 */
import type { Clock } from '../../src/clock.ts';
import type { Meeting, MeetingOptions, MeetingStatus, Rendezvous, RendezvousWay } from '../../src/net/rendezvous.ts';

export interface MemoryRendezvous {
  /** One node's end. */
  open(way?: RendezvousWay): Rendezvous;
  /** Whether the way works, for all; works at first. */
  setAvailable(available: boolean): void;
  /** Meetings that are not idle, of all nodes. */
  readonly attended: number;
}

class MemoryMeeting implements Meeting {
  readonly name: string;
  readonly options: MeetingOptions;
  readonly #all: MemoryMeetings;
  #mode: 'active' | 'passive' | 'idle' = 'idle';
  #status: MeetingStatus = { state: 'idle', at: undefined };
  #said: Uint8Array | undefined;
  #heard: Uint8Array | undefined;
  #found = false;

  constructor(options: MeetingOptions, all: MemoryMeetings) {
    this.options = options;
    this.name = Buffer.from(options.secret).toString('hex');
    this.#all = all;
  }

  get status(): MeetingStatus {
    return this.#status;
  }

  get attends(): boolean {
    return this.#mode !== 'idle';
  }

  say(signal: Uint8Array): void {
    if (!this.#all.set.has(this)) return;
    this.#said = Uint8Array.from(signal);
    this.#all.exchange();
  }

  attend(mode: 'active' | 'passive' | 'idle'): void {
    if (!this.#all.set.has(this)) return;
    this.#mode = mode;
    if (mode === 'idle') this.#found = false;
    this.update();
    this.#all.exchange();
  }

  close(): void {
    this.attend('idle');
    this.#all.set.delete(this);
  }

  /** Takes what `other` says, if it is news. */
  listen(other: MemoryMeeting): void {
    const signal = other.#said;
    if (!this.attends || !other.attends || signal === undefined) return;
    if (this.#heard !== undefined && Buffer.from(this.#heard).equals(signal)) return;
    this.#heard = signal;
    this.#found = true;
    this.update();
    this.options.onSignal(Uint8Array.from(signal));
  }

  update(): void {
    const state = !this.attends ? 'idle' : !this.#all.available ? 'unavailable' : this.#found ? 'found' : 'looking';
    if (state !== this.#status.state) this.#status = { state, at: this.#all.clock.wallMs() };
  }
}

interface MemoryMeetings {
  readonly set: Set<MemoryMeeting>;
  readonly clock: Clock;
  readonly available: boolean;
  /** Soon, as by a network: never within the call of say() or attend(). */
  exchange(): void;
}

export function createMemoryRendezvous(clock: Clock): MemoryRendezvous {
  const set = new Set<MemoryMeeting>();
  let available = true;

  const expiredExchange = (): void => {
    if (!available) return;
    for (const one of [...set]) {
      for (const other of [...set]) {
        if (one.name === other.name && one.options.side !== other.options.side) one.listen(other);
      }
    }
  };
  const all: MemoryMeetings = {
    set,
    clock,
    get available() {
      return available;
    },
    exchange: () => void clock.after(0, expiredExchange),
  };

  return {
    open: (way = 'dht') => ({
      way,
      meet(options) {
        const meeting = new MemoryMeeting(options, all);
        set.add(meeting);
        return meeting;
      },
    }),

    setAvailable(works) {
      available = works;
      for (const meeting of set) meeting.update();
      all.exchange();
    },

    get attended() {
      return [...set].filter(({ attends }) => attends).length;
    },
  };
}
