/**
 * A session with the kernel over one open device: reads requests, has them done (operations.ts), sees that each is
 * answered. Owns the device from its start to its end; does not mount or unmount.
 *
 * While requests keep coming the device is polled between turns of the event loop, which spares a wait in epoll for
 * each; when none has come for POLL_MS, libuv watches it.
 */
import type { Clock } from '../../clock.ts';
import { PeerfsError, type ErrorCode } from '../../errors.ts';
import type { Faults } from '../../faults.ts';
import { codeOfErrno } from '../../sys/errno.ts';
import {
  readDevice,
  watchDevice,
  watchDeviceByThread,
  writeDevice,
  createDeviceBuffer,
  type DeviceBuffer,
  type DeviceListener,
  type DeviceWatcher,
} from '../../sys/fuse-device.ts';
import { hasEndingSignal, isDying } from '../../sys/pending-signals.ts';
import type { KernelFileSystem, NodeId } from '../kernel.ts';
import { negotiate, type Agreement } from './negotiation.ts';
import { OPERATIONS } from './operations.ts';
import { PendingRequests } from './pending-requests.ts';
import { OPCODE } from './protocol.ts';
import { HEADER_BYTES, Replies } from './reply.ts';
import { BufferPool, FuseRequest, RequestInput } from './request.ts';
import { INTERRUPT_IN, OUT_HEADER } from './structures.ts';

/** How long polling goes on after the last request. A turn of the loop is about 1 us, a wait in epoll costs 10 to 20. */
const POLL_MS = 0.03;
/** Requests read before the event loop gets its turn. */
const READ_AT_ONCE = 256;

const OPCODE_NAMES = new Map<number, string>(Object.entries(OPCODE).map(([name, code]) => [code, name]));

export interface SessionOptions {
  readonly clock: Clock;
  /** `thread` reads by a thread that waits; only for where `epoll` does not work. */
  readonly reader: 'epoll' | 'thread';
  readonly faults: Faults;
  /** Called once, when the kernel has let go or close() was called. */
  readonly onEnd: (reason: string) => void;
}

export interface SessionStatistics {
  readonly requests: number;
  readonly pending: number;
  /** Answers that the kernel did not take. */
  readonly undelivered: number;
}

export class FuseSession {
  /** Settles when the kernel has greeted; rejects when it is too old or the session ends before. */
  readonly greeted: Promise<Agreement>;
  readonly #fileSystem: KernelFileSystem;
  readonly #options: SessionOptions;
  readonly #watcher: DeviceWatcher;
  readonly #replies: Replies;
  readonly #pending: PendingRequests;
  readonly #pool = new BufferPool();
  readonly #input: RequestInput;
  #buffer: DeviceBuffer;
  #requests = 0;
  #polling = false;
  #pollUntil = 0;
  #ended = false;
  #onGreeting: ((agreement: Agreement) => void) | undefined;
  #onNoGreeting: ((error: PeerfsError) => void) | undefined;

  /** @param device an open descriptor of the device, the session's from now on. */
  constructor(device: number, fileSystem: KernelFileSystem, options: SessionOptions) {
    this.#fileSystem = fileSystem;
    this.#options = options;
    this.greeted = new Promise((resolve, reject) => {
      this.#onGreeting = resolve;
      this.#onNoGreeting = reject;
    });
    this.greeted.catch(() => undefined);
    this.#input = new RequestInput(this.#pool);
    this.#buffer = this.#pool.take();
    const listener: DeviceListener = {
      nextBuffer: () => this.#pool.take(),
      onWake: (buffer) => this.#wake(buffer),
      onEnd: (code) => this.#end(code === 'ENODEV' ? 'unmounted' : 'the kernel ended the connection'),
    };
    this.#watcher = options.reader === 'epoll' ? watchDevice(device, listener) : watchDeviceByThread(device, listener);
    this.#replies = new Replies(this.#watcher.descriptor, (request) => this.#pending.delete(request));
    this.#pending = new PendingRequests({
      clock: options.clock,
      hasEndingSignal,
      isDying,
      fail: (request, error) => void this.#replies.error(request, error),
    });
  }

  /** Of the device. */
  get descriptor(): number {
    return this.#watcher.descriptor;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get statistics(): SessionStatistics {
    return {
      requests: this.#requests,
      pending: this.#pending.size,
      undelivered: this.#replies.undelivered,
    };
  }

  /** As KernelNotifier.store(). */
  store(node: NodeId, contents: Uint8Array): boolean {
    return !this.#ended && this.#replies.store(node, contents);
  }

  /** Answers everything that waits with this error; the session goes on. */
  failAll(code: ErrorCode): void {
    this.#pending.failAll(new PeerfsError(code));
  }

  /** Answers what waits and closes the device, which ends the mount if it still stands. Idempotent. */
  close(reason: string): void {
    if (!this.#ended) this.failAll('EIO');
    this.#end(reason);
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#replies.close();
    this.#watcher.close();
    // The kernel has given up on these; the file system should, too.
    this.failAll('EIO');
    this.#onNoGreeting?.(new PeerfsError('MOUNT_FAILED', `The mount ended before it began: ${reason}.`));
    this.#options.onEnd(reason);
  }

  #wake(buffer: DeviceBuffer): void {
    if (!this.#handle(buffer)) this.#pool.give(buffer);
    if (!this.#watcher.drainable || this.#polling) return;
    this.#polling = true;
    this.#poll();
  }

  readonly #poll = (): void => {
    if (this.#ended) {
      this.#polling = false;
      return;
    }
    const before = this.#requests;
    const more = this.#drain();
    const now = performance.now();
    if (this.#requests !== before) this.#pollUntil = now + POLL_MS;
    else if (!more && now > this.#pollUntil) {
      this.#polling = false;
      return;
    }
    setImmediate(this.#poll);
  };

  /** @returns whether there may be more to read at once. */
  #drain(): boolean {
    for (let count = 0; count < READ_AT_ONCE; count += 1) {
      const length = readDevice(this.#watcher.descriptor, this.#buffer);
      if (length === 0) return false;
      if (length < 0) {
        this.#end(codeOfErrno(-length) === 'ENODEV' ? 'unmounted' : 'the kernel ended the connection');
        return false;
      }
      if (this.#handle(this.#buffer)) this.#buffer = this.#pool.take();
      if (this.#ended) return false;
    }
    return true;
  }

  /** Has the request in the buffer done. @returns whether the buffer is still needed. */
  #handle(buffer: DeviceBuffer): boolean {
    this.#requests += 1;
    const input = this.#input;
    input.use(buffer);
    const request = new FuseRequest(buffer.words);
    if (request.opcode === OPCODE.INTERRUPT) {
      this.#interrupt(request);
      return false;
    }
    if (request.opcode === OPCODE.INIT) {
      this.#greet(request);
      return false;
    }
    this.#pending.add(request);
    const operation = OPERATIONS.get(request.opcode);
    if (operation === undefined) {
      this.#replies.error(request, new PeerfsError('ENOSYS'));
      return false;
    }
    try {
      operation({ fileSystem: this.#fileSystem, input, request, replies: this.#replies })?.catch((error: unknown) =>
        this.#fail(request, error),
      );
    } catch (error) {
      this.#fail(request, error);
    }
    return input.retained;
  }

  #fail(request: FuseRequest, error: unknown): void {
    this.#options.faults.note(OPCODE_NAMES.get(request.opcode) ?? '', error);
    this.#replies.error(request, error);
  }

  /** The request meant was answered already, or its INTERRUPT came first: EAGAIN has the kernel ask again if it waits. */
  #interrupt(request: FuseRequest): void {
    if (this.#pending.interrupt(this.#input.u64(INTERRUPT_IN.word.unique))) return;
    this.#replies.error(request, new PeerfsError('EAGAIN'));
  }

  #greet(request: FuseRequest): void {
    const agreement = negotiate(this.#input.words());
    if (agreement === undefined) {
      this.#replies.error(request, new PeerfsError('EIO'));
      this.#onNoGreeting?.(new PeerfsError('MOUNT_FAILED', 'This kernel is too old: FUSE 7.31 (Linux 5.4) is needed.'));
      return;
    }
    const buffer = createDeviceBuffer(HEADER_BYTES + agreement.reply.length);
    buffer.bytes.set(agreement.reply, HEADER_BYTES);
    buffer.words[OUT_HEADER.word.len] = buffer.bytes.length;
    buffer.words[OUT_HEADER.word.error] = 0;
    buffer.words[OUT_HEADER.word.unique] = request.uniqueLow;
    buffer.words[OUT_HEADER.word.unique + 1] = request.uniqueHigh;
    writeDevice(this.descriptor, buffer.address, buffer.bytes.length);
    this.#onGreeting?.(agreement);
  }
}
