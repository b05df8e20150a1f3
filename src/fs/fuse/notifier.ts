/**
 * KernelNotifier: collects what the kernel must forget and has the worker tell it. One batch is with the worker at a
 * time; what comes meanwhile waits here, where the same news twice is one. The wait is bounded: nodes each count once,
 * and when too many names wait all names are declared stale together.
 */
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { ByteString } from '../../bytestring.ts';
import { duplicateDescriptor } from '../../sys/descriptor.ts';
import type { KernelNotifier, NodeId } from '../kernel.ts';
import { encodeDelete, encodeInvalidateEntry, encodeInvalidateInode, encodeNewEpoch } from './notifications.ts';
import type { BatchResult, NotifyWorkerData } from './notify-worker.ts';

const BATCH_BYTES = 64 * 1024;
/** Names that wait, at most. */
const WAITING_NAMES = 16_384;
/** Longest that settled() waits: the kernel may be waiting for an answer that waits for settled(). */
const SETTLE_LIMIT_MS = 100;

export interface NotifierStatistics {
  /** Asked for. */
  readonly asked: number;
  /** Spared because the same stood in the queue. */
  readonly coalesced: number;
  readonly done: number;
  /** The kernel knew nothing of it. */
  readonly absent: number;
  readonly failed: number;
  /** How often all names had to be declared stale. */
  readonly overflows: number;
}

interface Range {
  offset: number;
  /** As in KernelNotifier: negative none, 0 to the end. */
  length: number;
}

/** What takes batches; a test has its own. */
export interface BatchWriter {
  write(batch: Uint8Array): void;
  /** Called after each write(). */
  onResult: (result: BatchResult) => void;
  close(): Promise<void>;
}

export class Notifier implements KernelNotifier {
  readonly store: (node: NodeId, contents: Uint8Array) => boolean;
  readonly #writer: BatchWriter;
  readonly #inodes = new Map<NodeId, Range>();
  /** Keyed by kind, parent and name. */
  readonly #names = new Map<string, Buffer>();
  readonly #counts = { asked: 0, coalesced: 0, done: 0, absent: 0, failed: 0, overflows: 0 };
  #busy = false;
  #scheduled = false;
  #closed = false;
  #allNames = false;
  #whenSettled: (() => void)[] = [];

  /** @param store writes at once. */
  constructor(writer: BatchWriter, store: (node: NodeId, contents: Uint8Array) => boolean = () => false) {
    this.#writer = writer;
    this.store = store;
    writer.onResult = ({ done, absent, failed }) => {
      this.#counts.done += done;
      this.#counts.absent += absent;
      this.#counts.failed += failed;
      this.#busy = false;
      this.#flush();
      if (this.#isSettled) this.#settle();
    };
  }

  get statistics(): NotifierStatistics {
    return { ...this.#counts };
  }

  invalidateInode(node: NodeId, offset: number, length: number): void {
    this.#counts.asked += 1;
    const waiting = this.#inodes.get(node);
    if (waiting === undefined) this.#inodes.set(node, { offset, length });
    else {
      this.#counts.coalesced += 1;
      merge(waiting, { offset, length });
    }
    this.#schedule();
  }

  invalidateEntry(parent: NodeId, name: ByteString): void {
    this.#name(`e${parent}/${name}`, () => encodeInvalidateEntry(parent, name));
  }

  deleteEntry(parent: NodeId, child: NodeId, name: ByteString): void {
    this.#name(`d${parent}/${child}/${name}`, () => encodeDelete(parent, child, name));
  }

  settled(): Promise<void> {
    if (this.#isSettled || this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const limit = setTimeout(resolve, SETTLE_LIMIT_MS);
      limit.unref();
      this.#whenSettled.push(() => {
        clearTimeout(limit);
        resolve();
      });
    });
  }

  /** Settles when the worker has ended. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#inodes.clear();
    this.#names.clear();
    this.#settle();
    await this.#writer.close();
  }

  get #isSettled(): boolean {
    return !this.#busy && !this.#scheduled && !this.#allNames && this.#inodes.size === 0 && this.#names.size === 0;
  }

  #settle(): void {
    const waiting = this.#whenSettled;
    this.#whenSettled = [];
    for (const resolve of waiting) resolve();
  }

  #name(key: string, encode: () => Buffer): void {
    this.#counts.asked += 1;
    if (this.#allNames || this.#names.has(key)) this.#counts.coalesced += 1;
    else if (this.#names.size >= WAITING_NAMES) {
      this.#counts.overflows += 1;
      this.#allNames = true;
      this.#names.clear();
    } else this.#names.set(key, encode());
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#busy || this.#closed) return;
    this.#scheduled = true;
    // What one event brings goes into one batch.
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#busy || this.#closed) return;
    const pieces: Buffer[] = [];
    let length = 0;
    const add = (piece: Buffer): boolean => {
      if (length + piece.length > BATCH_BYTES) return false;
      pieces.push(piece);
      length += piece.length;
      return true;
    };
    if (this.#allNames) {
      this.#allNames = false;
      add(encodeNewEpoch());
    }
    for (const [key, bytes] of this.#names) {
      if (!add(bytes)) break;
      this.#names.delete(key);
    }
    for (const [node, range] of this.#inodes) {
      if (!add(encodeInvalidateInode(node, range.offset, range.length))) break;
      this.#inodes.delete(node);
    }
    if (length === 0) return;
    this.#busy = true;
    this.#writer.write(Buffer.concat(pieces, length));
  }
}

/** Widens `range` to hold `other`. */
function merge(range: Range, other: Range): void {
  if (other.length < 0) return;
  if (range.length < 0) {
    range.offset = other.offset;
    range.length = other.length;
    return;
  }
  const toTheEnd = range.length === 0 || other.length === 0;
  const end = Math.max(range.offset + range.length, other.offset + other.length);
  range.offset = Math.min(range.offset, other.offset);
  range.length = toTheEnd ? 0 : end - range.offset;
}

/** A BatchWriter over a thread with a descriptor of its own. */
export function startNotifyWorker(device: number): BatchWriter {
  const descriptor = duplicateDescriptor(device);
  const data: NotifyWorkerData = { descriptor, batchBytes: BATCH_BYTES };
  const worker = new Worker(new URL('./notify-worker.js', import.meta.url), {
    workerData: data,
    stdin: false,
    execArgv: [],
  });
  worker.unref();
  const writer: BatchWriter = {
    write: (batch) => worker.postMessage(batch),
    onResult: () => undefined,
    async close() {
      await worker.terminate();
      closeSync(descriptor);
    },
  };
  worker.on('message', (result: BatchResult) => writer.onResult(result));
  // Without its thread the kernel is told nothing more, and forgets only what its time limits say.
  worker.on('error', () => undefined);
  return writer;
}
