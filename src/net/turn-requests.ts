/**
 * Requests to a TURN server: asked again until answered, proven with long-term credentials (RFC 8489 section 9.2) once the
 * server has said how, and anew when it says that its nonce is stale. Pure: the time comes in, bytes go out. What the
 * requests are for is turn-allocation.ts.
 */
import { fromBytes } from '../bytestring.ts';
import { turnIntegrity, turnKey } from '../crypto/turn-credentials.ts';
import {
  encodeStun,
  STUN_TRANSACTION_BYTES,
  type DecodedStun,
  type StunIntegrity,
  type StunMessage,
} from '../wire/stun.ts';

/** Errors of RFC 8489 section 14.8 that mean: once more, with what the server said. */
export const UNAUTHORIZED = 401;
const STALE_NONCE = 438;
/** What stands for a server's error when it said nothing. */
export const NO_ANSWER = 0;

/** Tuning. */
/** Pauses between sending a datagram and sending it again; the last is how long to wait in vain. Milliseconds. */
const RETRY_MS = [250, 500, 1000, 2000, 2000] as const;
/** Over a connection a request is sent once. Milliseconds. */
const PATIENCE_MS = 6_000;
/** The same patience again, so often at most, while the server is heard: the answer may stand behind much else. */
const MORE_PATIENCE = 4;
/** A request is answered with a new nonce, and so on: at most so often. */
const MAX_CHALLENGES = 3;

export interface TurnRequestsOptions {
  readonly username: string;
  readonly password: string;
  /** Whether the server is reached by datagrams, which get lost. */
  readonly isLossy: boolean;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly send: (bytes: Uint8Array) => void;
}

export type TurnRequest = Omit<StunMessage, 'class' | 'transaction'>;

export interface TurnReplies {
  success(message: StunMessage, now: number): void;
  /** @param code the server's, or NO_ANSWER. */
  error(code: number, reason: string, now: number): void;
}

interface Transaction {
  readonly request: TurnRequest;
  readonly bytes: Uint8Array;
  readonly replies: TurnReplies;
  readonly challenges: number;
  tries: number;
  sentAt: number;
  dueAt: number;
}

export class TurnRequests {
  readonly #options: TurnRequestsOptions;
  readonly #open = new Map<string, Transaction>();
  #realm: string | undefined;
  #nonce: string | undefined;
  #integrity: StunIntegrity | undefined;

  constructor(options: TurnRequestsOptions) {
    this.#options = options;
  }

  /** When tick() is due; Infinity: nothing is under way. */
  get dueAt(): number {
    let due = Infinity;
    for (const transaction of this.#open.values()) due = Math.min(due, transaction.dueAt);
    return due;
  }

  ask(request: TurnRequest, now: number, replies: TurnReplies, challenges = 0): void {
    const { username, isLossy, randomBytes, send } = this.#options;
    const id = Uint8Array.from(randomBytes(STUN_TRANSACTION_BYTES));
    const integrity = this.#integrity;
    const proof =
      integrity === undefined || this.#realm === undefined || this.#nonce === undefined
        ? {}
        : { username, realm: this.#realm, nonce: this.#nonce };
    const bytes = encodeStun({ ...request, ...proof, class: 'request', transaction: id }, integrity);
    const dueAt = now + (isLossy ? RETRY_MS[0] : PATIENCE_MS);
    this.#open.set(fromBytes(id), { request, bytes, replies, challenges, tries: 1, sentAt: now, dueAt });
    send(bytes);
  }

  /** @returns whether it was the answer to a request. */
  input(decoded: DecodedStun, now: number): boolean {
    const { message } = decoded;
    const key = fromBytes(message.transaction);
    const transaction = this.#open.get(key);
    if (transaction === undefined || message.method !== transaction.request.method) return false;
    if (message.class === 'success') {
      if (this.#integrity !== undefined && !decoded.checkIntegrity(this.#integrity)) return false;
      this.#open.delete(key);
      transaction.replies.success(message, now);
      return true;
    }
    if (message.class !== 'error' || message.errorCode === undefined) return false;
    this.#open.delete(key);
    const { code, reason } = message.errorCode;
    if (!this.#challenged(transaction, message, code, now)) transaction.replies.error(code, reason, now);
    return true;
  }

  /** @param heardAt when anything came from the server last. */
  tick(now: number, heardAt: number): void {
    const { isLossy, send } = this.#options;
    for (const [key, transaction] of [...this.#open]) {
      if (transaction.dueAt > now || !this.#open.has(key)) continue;
      const isHeard = heardAt > transaction.sentAt && transaction.tries <= MORE_PATIENCE;
      const pauseMs = isLossy ? RETRY_MS[transaction.tries] : isHeard ? PATIENCE_MS : undefined;
      if (pauseMs === undefined) {
        this.#open.delete(key);
        transaction.replies.error(NO_ANSWER, 'no answer', now);
        continue;
      }
      transaction.tries += 1;
      transaction.dueAt = now + pauseMs;
      if (isLossy) send(transaction.bytes);
      else transaction.sentAt = now;
    }
  }

  /** Whatever is under way is not waited for. */
  clear(): void {
    this.#open.clear();
  }

  /** The server wants proof, or a newer nonce. @returns whether the request was sent anew. */
  #challenged(transaction: Transaction, message: StunMessage, code: number, now: number): boolean {
    const wantsProof = code === UNAUTHORIZED && this.#integrity === undefined;
    if (!wantsProof && code !== STALE_NONCE) return false;
    if (message.nonce === undefined || transaction.challenges >= MAX_CHALLENGES) return false;
    this.#nonce = message.nonce;
    if (message.realm !== undefined && message.realm !== this.#realm) {
      this.#realm = message.realm;
      this.#integrity = turnIntegrity(turnKey(this.#options.username, message.realm, this.#options.password));
    }
    if (this.#integrity === undefined) return false;
    this.ask(transaction.request, now, transaction.replies, transaction.challenges + 1);
    return true;
  }
}
