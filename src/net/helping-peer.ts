/**
 * One peer whose mailbox (mailbox.ts) may help us: keeps what we leave and watch there in step with what is wanted, by as
 * few calls as that takes. Owns the calls, their repetition and what the peer refuses; common-peers.ts knows what is wanted.
 *
 * What the peer has of us is forgotten whenever it becomes live: it may have started anew, or dropped what it had to tell.
 */
import type { Clock, Timer } from '../clock.ts';
import { codeOf, type ErrorCode } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { RequestOf } from '../wire/schema.ts';
import type { Channel } from './channel.ts';

/** Tuning. Milliseconds, unless the name says otherwise. */
/** Who has no mailbox for us is asked again after so long. */
const REFUSED_MS = 10 * 60_000;
const REFUSALS: ReadonlySet<ErrorCode> = new Set(['EACCES', 'EPERM', 'UNSUPPORTED', 'ENOSYS']);
const FIRST_RETRY_MS = 5000;
const LAST_RETRY_MS = 60_000;
/** Calls at a time. */
const MOST_CALLS = 8;

type Left = RequestOf<'signalLeft'>;

/** What a peer's mailbox should have of us. Keys are the places' bytes, as latin1. */
export interface Wanted {
  /** The same object for as long as it says the same. */
  readonly leave: ReadonlyMap<string, Left>;
  readonly watch: ReadonlyMap<string, Uint8Array>;
  /** Who watches: others, though at the same places, have not heard what lies there. */
  readonly watchedBy: string;
}

export interface HelpingPeerOptions {
  readonly channel: Channel;
  readonly clock: Clock;
  readonly log: Logger;
  readonly wanted: () => Wanted;
  /** It lies at a place that we watch, says the peer; not checked. */
  readonly onLeft: (left: Left) => void;
  /** It helps, or no longer does. */
  readonly onChange: () => void;
}

export class HelpingPeer {
  readonly #options: HelpingPeerOptions;
  readonly #stops: (() => void)[];
  /** What the peer has of us, as far as we know. */
  readonly #left = new Map<string, Left>();
  #watched = '';
  /** Rises when the above is forgotten: replies to earlier calls say nothing any more. */
  #contact = 0;
  #refusedUntil = -Infinity;
  #retryAt = -Infinity;
  #failures = 0;
  #timer: Timer | undefined;
  #working = false;
  #closed = false;

  constructor(options: HelpingPeerOptions) {
    this.#options = options;
    const { channel, onChange } = options;
    this.#stops = [
      channel.onRestart(() => {
        // Another boot may have other settings.
        this.#refusedUntil = -Infinity;
        this.#forget();
        onChange();
      }),
      channel.onState((state) => {
        if (state === 'live') this.#forget();
        onChange();
      }),
    ];
  }

  get peerId(): string {
    return this.#options.channel.peerId;
  }

  /** It has not refused, and is online or was until a moment ago. */
  get helps(): boolean {
    return !this.#closed && this.#options.channel.state !== 'offline' && !this.#isRefused;
  }

  get isLive(): boolean {
    return this.helps && this.#options.channel.state === 'live';
  }

  /** What is wanted may be other than before. */
  update(): void {
    if (!this.#working) void this.#work();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    for (const stop of this.#stops) stop();
  }

  get #isRefused(): boolean {
    return this.#options.clock.now() < this.#refusedUntil;
  }

  #forget(): void {
    this.#contact += 1;
    this.#left.clear();
    this.#watched = '';
    this.#failures = 0;
    this.#retryAt = -Infinity;
    this.update();
  }

  /** Calls until nothing is left to be done, or one fails. */
  async #work(): Promise<void> {
    this.#working = true;
    for (;;) {
      const calls = this.#nextCalls();
      if (calls.length === 0) break;
      const contact = this.#contact;
      const failed = (await Promise.allSettled(calls.map((call) => call()))).find(
        ({ status }) => status === 'rejected',
      );
      if (this.#closed) break;
      if (failed?.status === 'rejected' && contact === this.#contact) this.#fail(codeOf(failed.reason));
      else if (failed === undefined) this.#failures = 0;
    }
    this.#working = false;
  }

  #fail(code: ErrorCode): void {
    const { clock, log, onChange } = this.#options;
    log.debug('mailbox.call', { code });
    this.#failures += 1;
    const refused = REFUSALS.has(code);
    const pauseMs = refused ? REFUSED_MS : Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    this.#retryAt = clock.now() + pauseMs;
    this.#timer?.cancel();
    this.#timer = clock.after(pauseMs, () => {
      onChange();
      this.update();
    });
    if (!refused) return;
    this.#refusedUntil = this.#retryAt;
    this.#contact += 1;
    this.#left.clear();
    this.#watched = '';
    onChange();
  }

  #nextCalls(): (() => Promise<void>)[] {
    const { clock, channel } = this.#options;
    if (!this.isLive || clock.now() < this.#retryAt || channel.state !== 'live') return [];
    const { leave, watch, watchedBy } = this.#options.wanted();
    const contact = this.#contact;
    for (const key of this.#left.keys()) if (!leave.has(key)) this.#left.delete(key);
    const calls: (() => Promise<void>)[] = [];
    const watched = watch.size === 0 ? '' : `${watchedBy} ${[...watch.keys()].sort().join('')}`;
    if (watched !== this.#watched) calls.push(() => this.#watch(watch, watched, contact));
    for (const [key, left] of leave) {
      if (calls.length >= MOST_CALLS) break;
      if (this.#left.get(key) !== left) calls.push(() => this.#leave(key, left, contact));
    }
    return calls;
  }

  async #watch(watch: Wanted['watch'], watched: string, contact: number): Promise<void> {
    const { channel, onLeft } = this.#options;
    const { reply } = await channel.call('watchSignals', { places: [...watch.values()].map((place) => ({ place })) });
    if (this.#closed) return;
    if (contact === this.#contact) this.#watched = watched;
    for (const left of reply.signals) onLeft(left);
  }

  async #leave(key: string, left: Left, contact: number): Promise<void> {
    await this.#options.channel.call('leaveSignal', left);
    if (contact === this.#contact) this.#left.set(key, left);
  }
}
