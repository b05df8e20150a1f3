/**
 * Which directories of a tree one peer was promised to be alone in: before a call of another peer sees or changes names
 * there, the holder is asked and has answered, or its time is over. So it may answer for names itself meanwhile, and
 * answers the recall once all that it has said has reached this node.
 *
 * A call of a peer visits the directories that it concerns, from before it is run to its end: nobody is promised to be
 * alone where others visit. Programs of this computer do not visit; they are seen through inotify, after the fact.
 *
 * The promise lives shorter than a lease after the holder was last heard, because others wait for its end: also those
 * who only look.
 */
import type { ByteString } from '../bytestring.ts';
import type { Clock, Timer } from '../clock.ts';
import { RECALL } from '../wire/schema.ts';
import type { LeaseHolder } from './lease-holder.ts';

/** Tuning. The promise lives for this part of a lease: 5 s, or 20 s where the path is slow. */
const PART = 1 / 3;
/** However much a holder has held back: others wait for it no longer than this, milliseconds. */
const RECALL_AT_MOST_MS = 60_000;

/** What a call concerns. */
export interface Visit {
  /** Directories whose names, or whose own attributes, it sees or changes. */
  readonly directories: readonly ByteString[];
  /** All that stands below these changes its path, or goes. */
  readonly subtrees?: readonly ByteString[];
}

interface Sole {
  readonly holder: LeaseHolder;
  readonly directory: ByteString;
  /** The longest that the holder was told, milliseconds since it was last heard. */
  ms: number;
  /** Being recalled: when it is over. */
  ending: Promise<void> | undefined;
  /** Ends the waiting. */
  end: () => void;
}

const isBelow = (path: ByteString, top: ByteString) => top === '' || path === top || path.startsWith(`${top}/`);

export class SoleLeases {
  readonly #clock: Clock;
  readonly #nextChange: () => number;
  readonly #soles = new Map<ByteString, Sole>();
  readonly #visitors = new Map<ByteString, LeaseHolder[]>();
  readonly #subtreeVisits = new Set<{ readonly by: LeaseHolder; readonly visit: Visit }>();

  /** @param nextChange counts a change: replies that were made before are older than the recall. */
  constructor(clock: Clock, nextChange: () => number) {
    this.#clock = clock;
    this.#nextChange = nextChange;
  }

  /** Runs a call of a peer when nobody else may be answering for what it concerns. */
  async visiting<T>(by: LeaseHolder, visit: Visit, run: () => Promise<T>): Promise<T> {
    const leave = this.#enter(by, visit);
    try {
      const ending = this.#soles.size === 0 ? undefined : this.#recallOthers(by, visit);
      if (ending !== undefined) await ending;
      return await run();
    } finally {
      leave();
    }
  }

  /**
   * Promises the holder, who alone has a lease on the directory, to be alone there.
   * @param leaseMs what it was told of the lease. @returns milliseconds, 0 for no promise.
   */
  grant(holder: LeaseHolder, directory: ByteString, leaseMs: number): number {
    const ms = Math.floor(leaseMs * PART);
    const there = this.#soles.get(directory);
    if (ms === 0 || (there !== undefined && (there.holder !== holder || there.ending !== undefined))) return 0;
    for (const visitor of this.#visitors.get(directory) ?? []) if (visitor !== holder) return 0;
    for (const { by, visit } of this.#subtreeVisits) {
      if (by !== holder && visit.subtrees?.some((top) => isBelow(directory, top)) === true) return 0;
    }
    if (there === undefined)
      this.#soles.set(directory, { holder, directory, ms, ending: undefined, end: () => undefined });
    else there.ms = Math.max(there.ms, ms);
    return ms;
  }

  /** The holder's lease on the directory has ended by what others did: so does this promise, once it has answered. */
  recall(holder: LeaseHolder, directory: ByteString): void {
    const sole = this.#soles.get(directory);
    if (sole?.holder === holder) void this.#ended(sole);
  }

  /** Nothing is promised to the holder any more: it is gone, or its time is over. */
  dropHolder(holder: LeaseHolder): void {
    for (const sole of [...this.#soles.values()]) if (sole.holder === holder) this.drop(holder, sole.directory);
  }

  /** The holder itself ended its lease on the directory. */
  drop(holder: LeaseHolder, directory: ByteString): void {
    const sole = this.#soles.get(directory);
    if (sole?.holder !== holder) return;
    this.#soles.delete(directory);
    sole.end();
  }

  #enter(by: LeaseHolder, visit: Visit): () => void {
    const { directories, subtrees } = visit;
    for (const directory of directories) {
      const visitors = this.#visitors.get(directory);
      if (visitors === undefined) this.#visitors.set(directory, [by]);
      else visitors.push(by);
    }
    const whole = subtrees === undefined || subtrees.length === 0 ? undefined : { by, visit };
    if (whole !== undefined) this.#subtreeVisits.add(whole);
    return () => {
      for (const directory of directories) this.#leave(by, directory);
      if (whole !== undefined) this.#subtreeVisits.delete(whole);
    };
  }

  #leave(by: LeaseHolder, directory: ByteString): void {
    const visitors = this.#visitors.get(directory);
    if (visitors === undefined) return;
    if (visitors.length === 1) this.#visitors.delete(directory);
    else visitors.splice(visitors.indexOf(by), 1);
  }

  #recallOthers(by: LeaseHolder, { directories, subtrees }: Visit): Promise<unknown> | undefined {
    const concerned = new Set<Sole>();
    for (const directory of directories) {
      const sole = this.#soles.get(directory);
      if (sole !== undefined) concerned.add(sole);
    }
    for (const top of subtrees ?? []) {
      for (const sole of this.#soles.values()) if (isBelow(sole.directory, top)) concerned.add(sole);
    }
    const waiting: Promise<void>[] = [];
    for (const sole of concerned) {
      const ending = sole.holder === by ? undefined : this.#ended(sole);
      if (ending !== undefined) waiting.push(ending);
    }
    return waiting.length === 0 ? undefined : Promise.all(waiting);
  }

  /** @returns undefined if its time is over already. */
  #ended(sole: Sole): Promise<void> | undefined {
    if (sole.ending !== undefined) return sole.ending;
    if (this.#leftMs(sole) <= 0) {
      this.#soles.delete(sole.directory);
      return undefined;
    }
    sole.ending = new Promise<void>((resolve) => {
      const since = this.#clock.now();
      let timer: Timer | undefined;
      sole.end = () => {
        timer?.cancel();
        if (this.#soles.get(sole.directory) === sole) this.#soles.delete(sole.directory);
        resolve();
      };
      // While it sends what it has held back it is heard, and may trust the promise for longer.
      const wait = () => {
        const leftMs = Math.min(this.#leftMs(sole), since + RECALL_AT_MOST_MS - this.#clock.now());
        if (leftMs <= 0) sole.end();
        else timer = this.#clock.after(leftMs, wait);
      };
      wait();
      sole.holder.recall(sole.directory, RECALL.sole, this.#nextChange()).then(
        () => sole.end(),
        () => undefined,
      );
    });
    return sole.ending;
  }

  #leftMs({ holder, ms }: Sole): number {
    return holder.term.heardAt + ms - this.#clock.now();
  }
}
