/**
 * The disk threads of this process, seen from the main thread: a few workers (src/fs/disk-worker.ts) shared by all
 * LocalTrees, each tree bound to one of them, so that its operations keep their order. They start with the first tree
 * and do not keep the process alive, except while a call is running.
 */
import { stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { toBytes } from '../bytestring.ts';
import { codeOf, isErrorCode, PeerfsError } from '../errors.ts';
import type { CoreOptions, LocalCore } from './local-core.ts';
import type { Handle, LockRequest, TreeChange } from './tree.ts';

/** A thread for each disk, up to this many, so that one that stalls does not stop the others; each takes about 12 MB. */
const THREADS = 3;

/** Most of what is allocated there lives for one message. */
const YOUNG_HEAP_MB = 8;

type Methods = {
  [M in Exclude<keyof LocalCore, 'lock' | 'close'>]: Parameters<LocalCore[M]>;
} & {
  openTree: [CoreOptions];
  close: [];
  /** Instead of the signal: whether to wait. */
  lock: [Handle, LockRequest, boolean];
  /** The id of the call to give up. */
  cancel: [number];
};

export type DiskMethod = keyof Methods;
export type DiskRequest = {
  [M in DiskMethod]: {
    readonly id: number;
    readonly tree: number;
    readonly method: M;
    readonly args: Methods[M];
  };
}[DiskMethod];

export type DiskAnswer =
  | { readonly id: number; readonly value: unknown }
  | {
      readonly id: number;
      readonly code: string;
      readonly message: string;
      /** A mistake of ours, as faultOf() has it. */
      readonly fault: string | undefined;
    };

export interface DiskMessage {
  readonly answers?: readonly DiskAnswer[];
  readonly changes?: readonly {
    readonly tree: number;
    readonly change: TreeChange;
    readonly file: string | undefined;
  }[];
}

/** What crosses back: attributes as packed numbers, else as LocalCore gives it. */
type Packed<T> = T extends { inode: bigint; birthNsec: number } ? number[] : T extends Promise<infer R> ? R : T;
export type DiskResult<M extends DiskMethod> = M extends 'openTree' | 'cancel'
  ? undefined
  : M extends 'open' | 'look'
    ? Omit<ReturnType<LocalCore[M]>, 'attributes'> & { readonly attributes: number[] }
    : M extends keyof LocalCore
      ? Packed<ReturnType<LocalCore[M]>>
      : never;

type ChangeListener = (change: TreeChange, writtenFile: string | undefined) => void;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

class DiskThread {
  readonly #worker = new Worker(new URL('./disk-worker.js', import.meta.url), {
    name: 'disk',
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_HEAP_MB },
  });
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Map<number, ChangeListener>();
  #queue: DiskRequest[] = [];
  #nextId = 1;
  #failed: PeerfsError | undefined;
  /** Devices of the trees bound to it, one for each. */
  readonly devices: number[] = [];

  constructor() {
    this.#worker.unref();
    this.#worker.on('message', (message: DiskMessage) => this.#receive(message));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(undefined));
  }

  get isAlive(): boolean {
    return this.#failed === undefined;
  }

  listen(tree: number, listener: ChangeListener | undefined): void {
    if (listener === undefined) this.#listeners.delete(tree);
    else this.#listeners.set(tree, listener);
  }

  /** @param onId told the id under which `cancel` knows the call. */
  call<M extends DiskMethod>(
    tree: number,
    method: M,
    args: Methods[M],
    onId?: (id: number) => void,
  ): Promise<DiskResult<M>> {
    if (this.#failed !== undefined) return Promise.reject(this.#failed);
    const id = this.#nextId++;
    onId?.(id);
    // The pairing of method and arguments is checked by the signature; the worker's switch relies on it.
    const request = { id, tree, method, args } as DiskRequest;
    if (this.#queue.length === 0) queueMicrotask(() => this.#send());
    this.#queue.push(request);
    if (this.#pending.size === 0) this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
    });
  }

  #send(): void {
    const requests = this.#queue;
    this.#queue = [];
    this.#worker.postMessage(requests);
  }

  #receive(message: DiskMessage): void {
    for (const { tree, change, file } of message.changes ?? []) this.#listeners.get(tree)?.(change, file);
    for (const answer of message.answers ?? []) {
      const pending = this.#pending.get(answer.id);
      if (pending === undefined) continue;
      this.#pending.delete(answer.id);
      if ('code' in answer) {
        const code = isErrorCode(answer.code) ? answer.code : 'EIO';
        pending.reject(
          answer.fault === undefined ? new PeerfsError(code, answer.message) : new DiskFault(answer.fault),
        );
      } else {
        pending.resolve(answer.value);
      }
    }
    if (this.#pending.size === 0) this.#worker.unref();
  }

  #fail(cause: unknown): void {
    this.#failed ??= new PeerfsError('EIO', 'the disk thread has ended', { cause });
    for (const { reject } of this.#pending.values()) reject(this.#failed);
    this.#pending.clear();
  }
}

/** A mistake on the disk thread stays one here, for the log (src/faults.ts). */
class DiskFault extends Error {
  constructor(fault: string) {
    super();
    this.name = `${fault} on the disk thread`;
  }
}

let threads: DiskThread[] = [];
let nextTree = 1;

/** A tree's place on a disk thread. */
export interface DiskTree {
  call<M extends DiskMethod>(method: M, args: Methods[M], onId?: (id: number) => void): Promise<DiskResult<M>>;
  /** Releases all of the tree's state there. */
  close(): Promise<void>;
}

/** The thread that has this device already, else a new one, else the one with the fewest trees. */
function threadFor(device: number): DiskThread {
  threads = threads.filter((thread) => thread.isAlive);
  const same = threads.find(({ devices }) => devices.includes(device) || devices.length === 0);
  if (same !== undefined) return same;
  if (threads.length < THREADS) {
    const fresh = new DiskThread();
    threads.push(fresh);
    return fresh;
  }
  return threads.reduce((least, one) => (one.devices.length < least.devices.length ? one : least));
}

/** @throws PeerfsError if the folder cannot be opened. */
export async function openDiskTree(options: CoreOptions, onChange: ChangeListener): Promise<DiskTree> {
  const { dev } = await stat(toBytes(options.root)).catch((error: unknown) => {
    throw new PeerfsError(codeOf(error), 'the shared folder cannot be opened', { cause: error });
  });
  const thread = threadFor(dev);
  const tree = nextTree++;
  thread.devices.push(dev);
  thread.listen(tree, onChange);
  let isOpen = true;
  const close = async () => {
    if (!isOpen) return;
    isOpen = false;
    thread.devices.splice(thread.devices.indexOf(dev), 1);
    thread.listen(tree, undefined);
    await thread.call(tree, 'close', []);
  };
  try {
    await thread.call(tree, 'openTree', [options]);
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
  return { call: (method, args, onId) => thread.call(tree, method, args, onId), close };
}
