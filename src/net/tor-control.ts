/**
 * Tor's control protocol, the client's side: commands, their replies, events. Owns lines, replies and the order of
 * both; does not own what is asked (tor-client.ts) nor how we prove who we are (tor-authentication.ts).
 *
 * Specification: torspec control-spec, section 2. Commands may be sent without waiting: replies come in their order;
 * events (650) come between replies, never within one.
 */
import { connect, type Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { PeerfsError } from '../errors.ts';

/** Specification: replies with such a status are events. */
const EVENT_STATUS = 650;
/** Tuning: what we take from Tor before we believe that it is not Tor. Bytes. */
const MAX_LINE_BYTES = 256 * 1024;
const MAX_REPLY_BYTES = 4 * 1024 * 1024;
/** Tuning: commands that wait for their replies. */
const MAX_WAITING = 4096;
/** Tuning: a control port answers at once or is not one. Milliseconds. */
const CONNECT_MS = 3_000;
const REPLY_MS = 20_000;

/** Where a control or SOCKS port is. */
export type TorAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** One line of a reply; `data` is the block that follows a `250+` line, lines ended by `\n`. */
export interface ReplyLine {
  readonly text: string;
  readonly data?: string;
}

export interface Reply {
  /** Of the last line. */
  readonly status: number;
  readonly lines: readonly ReplyLine[];
}

export interface ReplyReader {
  /**
   * @param chunk any stretch of what Tor sent, as latin1.
   * @returns the replies and events that are complete with it.
   * @throws PeerfsError PROTOCOL for what no Tor sends; the reader is of no use then.
   */
  push(chunk: string): Reply[];
}

const notTor = (what: string): PeerfsError => new PeerfsError('PROTOCOL', `the control port ${what}`);

export function createReplyReader(): ReplyReader {
  let rest = '';
  let lines: ReplyLine[] = [];
  let block: { readonly text: string; readonly data: string[] } | undefined;
  let size = 0;

  /** @returns the reply that this line ends. */
  function take(line: string): Reply | undefined {
    size += line.length + 1;
    if (size > MAX_REPLY_BYTES) throw notTor('sends a reply without end');
    if (block !== undefined) {
      if (line !== '.') block.data.push(`${line.startsWith('.') ? line.slice(1) : line}\n`);
      else {
        lines.push({ text: block.text, data: block.data.join('') });
        block = undefined;
      }
      return undefined;
    }
    const [, status, kind, text = ''] = /^([2-6][0-9]{2})([ +-])(.*)$/s.exec(line) ?? [];
    if (status === undefined) throw notTor('does not speak the control protocol');
    if (kind === '+') block = { text, data: [] };
    else lines.push({ text });
    if (kind !== ' ') return undefined;
    const reply = { status: Number(status), lines };
    lines = [];
    size = 0;
    return reply;
  }

  return {
    push(chunk) {
      rest += chunk;
      const replies: Reply[] = [];
      let at = 0;
      for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', at)) {
        const reply = take(rest.slice(at, end > at && rest[end - 1] === '\r' ? end - 1 : end));
        if (reply !== undefined) replies.push(reply);
        at = end + 1;
      }
      rest = rest.slice(at);
      if (rest.length > MAX_LINE_BYTES) throw notTor('sends a line without end');
      return replies;
    },
  };
}

/** A QuotedString (control-spec section 2.1.1). */
export function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

/**
 * The `KEY=value` and `KEY="quoted value"` words of a line.
 * @returns by key; words without `=` are left out, the last of a key counts.
 */
export function keywords(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [, key = '', quoted, plain = ''] of text.matchAll(
    /(?<=^|\s)([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))/g,
  )) {
    found.set(key, quoted === undefined ? plain : unescape(quoted));
  }
  return found;
}

/** What stands within the quotes: C escapes (control-spec section 2.1.1). */
function unescape(quoted: string): string {
  return quoted.replace(/\\([0-7]{1,3}|.)/gs, (_, escaped: string) => {
    if (/^[0-7]/.test(escaped)) return String.fromCharCode(parseInt(escaped, 8) & 0xff);
    return { n: '\n', t: '\t', r: '\r' }[escaped] ?? escaped;
  });
}

export interface ControlConnection {
  /**
   * Sends one command. Rejects EHOSTDOWN when the connection ends before the reply, ETIMEDOUT without one;
   * a refusal is a reply as any other.
   * @param line without its end.
   * @throws PeerfsError EINVAL for a line that is more than one.
   */
  command(line: string): Promise<Reply>;
  /** Idempotent. */
  close(): void;
}

export interface ControlOptions {
  readonly address: TorAddress;
  readonly clock: Clock;
  /** Its first line tells which. */
  readonly onEvent: (event: Reply) => void;
  /** The connection ended, whoever ended it; once. */
  readonly onClose: () => void;
}

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: PeerfsError): void;
}

/** Rejects EHOSTDOWN if nobody is there. */
export async function connectControl(options: ControlOptions): Promise<ControlConnection> {
  const { clock, onEvent, onClose } = options;
  const socket = await connectTo(options.address, clock);
  const reader = createReplyReader();
  const waiting: Waiting[] = [];
  let ended: PeerfsError | undefined;

  const end = (error: PeerfsError): void => {
    if (ended !== undefined) return;
    ended = error;
    socket.destroy();
    for (const { reject } of waiting.splice(0)) reject(error);
    onClose();
  };
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    try {
      for (const reply of reader.push(chunk)) {
        if (reply.status === EVENT_STATUS) onEvent(reply);
        else waiting.shift()?.resolve(reply);
      }
    } catch (error) {
      if (!(error instanceof PeerfsError)) throw error;
      end(error);
    }
  });
  socket.on('error', (cause) => end(new PeerfsError('EHOSTDOWN', 'lost the control connection', { cause })));
  socket.on('close', () => end(new PeerfsError('EHOSTDOWN', 'Tor closed the control connection')));

  return {
    command(line) {
      if (/[\r\n\0]/.test(line)) throw new PeerfsError('EINVAL', 'a control command is one line');
      if (ended !== undefined) return Promise.reject(ended);
      if (waiting.length >= MAX_WAITING) return Promise.reject(new PeerfsError('EBUSY', 'Tor does not answer'));
      return new Promise((resolve, reject) => {
        // A Tor that hangs is as good as none: replies would be told apart by their order alone.
        const timer = clock.after(REPLY_MS, () => end(new PeerfsError('ETIMEDOUT', 'Tor does not answer')));
        const settle = (act: () => void): void => {
          timer.cancel();
          act();
        };
        waiting.push({
          resolve: (reply) => settle(() => resolve(reply)),
          reject: (error) => settle(() => reject(error)),
        });
        socket.write(`${line}\r\n`, 'latin1');
      });
    },
    close: () => end(new PeerfsError('EHOSTDOWN', 'the control connection was closed')),
  };
}

/** @returns a connected socket without listeners. Rejects EHOSTDOWN. */
export function connectTo(address: TorAddress, clock: Clock, signal?: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = 'path' in address ? connect({ path: address.path }) : connect({ ...address, noDelay: true });
    const settle = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', aborted);
      socket.off('error', failed).off('connect', connected);
    };
    const fail = (error: PeerfsError): void => {
      settle();
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    const failed = (cause: Error): void => fail(new PeerfsError('EHOSTDOWN', 'Tor is not there', { cause }));
    const aborted = (): void => fail(new PeerfsError('CANCELLED', 'no longer wanted'));
    const connected = (): void => {
      settle();
      resolve(socket);
    };
    const timer = clock.after(CONNECT_MS, () => fail(new PeerfsError('EHOSTDOWN', 'Tor does not answer')));
    signal?.addEventListener('abort', aborted);
    socket.on('error', failed).on('connect', connected);
    if (signal?.aborted === true) aborted();
  });
}
