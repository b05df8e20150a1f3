/**
 * The disk thread: runs the operations of LocalTrees (src/fs/local-core.ts) for src/fs/disk-thread.ts, which alone
 * starts it. Requests come in batches and are run in order; the answers of a batch go back as one message.
 */
import { parentPort, type MessagePort } from 'node:worker_threads';
import { systemClock } from '../clock.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { faultOf } from '../faults.ts';
import type { Attributes } from '../wire/schema.ts';
import type { DiskAnswer, DiskMessage, DiskRequest } from './disk-thread.ts';
import { packAttributes } from './local-attributes.ts';
import { createLocalCore, type LocalCore } from './local-core.ts';

/** Bytes of an answer above this are moved, not copied. */
const TRANSFER_BYTES = 16 * 1024;

// Failures here are answers, not faults: nobody reads where in this thread they arose.
Error.stackTraceLimit = 0;

const trees = new Map<number, LocalCore>();
const waiting = new Map<number, AbortController>();

function pack(attributes: Attributes): number[] {
  const numbers: number[] = [];
  packAttributes(attributes, numbers);
  return numbers;
}

function treeOf(request: DiskRequest): LocalCore {
  const tree = trees.get(request.tree);
  if (tree === undefined) throw new PeerfsError('ESTALE', 'the share is closed');
  return tree;
}

function movable(bytes: Uint8Array | Float64Array, moved: ArrayBuffer[]): void {
  if (bytes.byteLength >= TRANSFER_BYTES && bytes.buffer instanceof ArrayBuffer) moved.push(bytes.buffer);
}

/** @returns what crosses back: attributes packed, the rest as it is. */
function run(port: MessagePort, request: DiskRequest, moved: ArrayBuffer[]): unknown {
  switch (request.method) {
    case 'openTree': {
      const [options] = request.args;
      const { tree } = request;
      const core = createLocalCore(options, systemClock, (change, file) =>
        port.postMessage({ changes: [{ tree, change, file }] } satisfies DiskMessage),
      );
      trees.set(tree, core);
      return undefined;
    }
    case 'close':
      trees.get(request.tree)?.close();
      trees.delete(request.tree);
      return undefined;
    case 'getattr':
      return pack(treeOf(request).getattr(...request.args));
    case 'setattr':
      return pack(treeOf(request).setattr(...request.args));
    case 'mkdir':
      return pack(treeOf(request).mkdir(...request.args));
    case 'mknod':
      return pack(treeOf(request).mknod(...request.args));
    case 'symlink':
      return pack(treeOf(request).symlink(...request.args));
    case 'link':
      return pack(treeOf(request).link(...request.args));
    case 'open': {
      const opened = treeOf(request).open(...request.args);
      movable(opened.firstBytes, moved);
      return { ...opened, attributes: pack(opened.attributes) };
    }
    case 'listDirectory': {
      const listed = treeOf(request).listDirectory(...request.args);
      movable(listed.bytes, moved);
      return listed;
    }
    case 'readPage': {
      const page = treeOf(request).readPage(...request.args);
      movable(page.bytes, moved);
      return page;
    }
    case 'look': {
      const { attributes, contents } = treeOf(request).look(...request.args);
      movable(contents, moved);
      return { attributes: pack(attributes), contents };
    }
    case 'readSmallFiles': {
      const files = treeOf(request).readSmallFiles(...request.args);
      movable(files.bytes, moved);
      return files;
    }
    case 'lock': {
      const [handle, lock, waits] = request.args;
      const tree = treeOf(request);
      if (!waits) return tree.lock(handle, lock, undefined);
      const controller = new AbortController();
      waiting.set(request.id, controller);
      return tree.lock(handle, lock, controller.signal).finally(() => waiting.delete(request.id));
    }
    case 'recount':
      return treeOf(request).recount();
    case 'cancel':
      waiting.get(request.args[0])?.abort();
      return undefined;
    default:
      return runPlain(treeOf(request), request);
  }
}

type SpecialMethod =
  | 'openTree'
  | 'close'
  | 'getattr'
  | 'setattr'
  | 'mkdir'
  | 'mknod'
  | 'symlink'
  | 'link'
  | 'open'
  | 'listDirectory'
  | 'readPage'
  | 'look'
  | 'readSmallFiles'
  | 'lock'
  | 'recount'
  | 'cancel';

/** The methods whose arguments and results cross as they are. */
function runPlain(tree: LocalCore, request: Exclude<DiskRequest, { method: SpecialMethod }>): unknown {
  switch (request.method) {
    case 'statfs':
      return tree.statfs(...request.args);
    case 'readlink':
      return tree.readlink(...request.args);
    case 'unlink':
      return tree.unlink(...request.args);
    case 'rmdir':
      return tree.rmdir(...request.args);
    case 'rename':
      return tree.rename(...request.args);
    case 'createFile':
      return tree.createFile(...request.args);
    case 'flush':
      return tree.flush(...request.args);
    case 'release':
      return tree.release(...request.args);
    case 'fallocate':
      return tree.fallocate(...request.args);
    case 'seek':
      return tree.seek(...request.args);
    case 'openDirectory':
      return tree.openDirectory(...request.args);
    case 'getxattr':
      return tree.getxattr(...request.args);
    case 'setxattr':
      return tree.setxattr(...request.args);
    case 'listxattr':
      return tree.listxattr(...request.args);
    case 'removexattr':
      return tree.removexattr(...request.args);
    case 'testLock':
      return tree.testLock(...request.args);
    case 'limit':
      return tree.limit(...request.args);
    case 'settle':
      return tree.settle(...request.args);
    case 'watch':
      return tree.watch(...request.args);
    case 'unwatch':
      return tree.unwatch(...request.args);
  }
}

function failure(id: number, error: unknown): DiskAnswer {
  const message = error instanceof Error ? error.message : 'unknown failure';
  return { id, code: codeOf(error), message, fault: faultOf(error) };
}

function serve(port: MessagePort, requests: readonly DiskRequest[]): void {
  const answers: DiskAnswer[] = [];
  const moved: ArrayBuffer[] = [];
  for (const request of requests) {
    const { id } = request;
    try {
      const value = run(port, request, moved);
      if (value instanceof Promise) {
        value.then(
          () => port.postMessage({ answers: [{ id, value: undefined }] } satisfies DiskMessage),
          (error: unknown) => port.postMessage({ answers: [failure(id, error)] } satisfies DiskMessage),
        );
      } else {
        answers.push({ id, value });
      }
    } catch (error) {
      answers.push(failure(id, error));
    }
  }
  if (answers.length > 0) port.postMessage({ answers } satisfies DiskMessage, moved);
}

const port = parentPort;
if (port !== null) port.on('message', (requests: readonly DiskRequest[]) => serve(port, requests));
