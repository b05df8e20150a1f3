/**
 * LeaseTerm: how long the leases of one peer last, as the side that gives them sees it. Owns the length by the pace of
 * the path, and until when the peer may trust what it was promised; does not own what was promised (leases.ts). Pure.
 *
 * All leases of a peer live from its last call on (remote-lease.ts is the other side), so what counts is the length
 * that the peer believes. A longer one counts from when it is told. A shorter one does not until it is certain that
 * the peer has heard of it, for replies may be late: the peer asks for renewal three times when it is told a shorter
 * one. It believes the reply of the newest call it made, and makes each of these after the answer of the one before; so
 * with the third, all that could still tell it the longer one are older than an answer it has had.
 *
 * The bound: whoever vanishes delays a change of what it holds by 15 s at most after it was last heard, by 60 s if its
 * last path was slow, or it has not confirmed the shorter term yet.
 */
import type { Pace } from '../net/channel.ts';

/** Renewals that confirm a shorter term. Specification of version 1. */
export const CONFIRMATIONS = 3;

export type TermLengths = Readonly<Record<Pace, number>>;

export class LeaseTerm {
  readonly #lengths: TermLengths;
  readonly #pace: () => Pace;
  #heardAt = Number.NEGATIVE_INFINITY;
  /** The longest that the peer may believe in. */
  #believedMs: number;
  #confirmations = 0;
  #lastRenewal = -1;

  /** @param lengths of leases, milliseconds. @param pace of the path to the peer now. */
  constructor(lengths: TermLengths, pace: () => Pace) {
    this.#lengths = lengths;
    this.#pace = pace;
    this.#believedMs = lengths.fast;
  }

  /** Until when the peer may trust what it was promised, should it not be heard again; Clock.now(). */
  get endsAt(): number {
    return this.#heardAt + this.#believedMs;
  }

  /** When the peer was last heard, Clock.now(). */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** A call of the peer came. @returns whether its leases had ended before. */
  heard(now: number): boolean {
    const hadEnded = now > this.endsAt;
    this.#heardAt = now;
    if (hadEnded) this.forget();
    return hadEnded;
  }

  /** Nothing is promised any more. */
  forget(): void {
    this.#believedMs = this.#lengths.fast;
    this.#confirmations = 0;
    this.#lastRenewal = -1;
  }

  /** @returns the length of a lease that is told to the peer now, milliseconds. */
  tell(): number {
    const leaseMs = this.#lengths[this.#pace()];
    if (leaseMs >= this.#believedMs) {
      this.#believedMs = leaseMs;
      this.#confirmations = 0;
    }
    return leaseMs;
  }

  /** The peer asks for renewal. @param callId of its call, which may come twice. @returns as tell(). */
  renew(callId: number): number {
    const leaseMs = this.tell();
    if (leaseMs >= this.#believedMs || callId <= this.#lastRenewal) return leaseMs;
    this.#lastRenewal = callId;
    this.#confirmations += 1;
    if (this.#confirmations >= CONFIRMATIONS) this.#believedMs = leaseMs;
    return leaseMs;
  }
}
