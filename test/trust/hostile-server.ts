/**
 * A peer that answers as no server would: an honest one over a tree in memory, whose answers about certain names are
 * lies. What each name does is said where it is made.
 */
import { join, nameOf, type ByteString } from '../../src/bytestring.ts';
import { systemClock } from '../../src/clock.ts';
import { PeerfsError } from '../../src/errors.ts';
import { LeaseTable } from '../../src/fs/leases.ts';
import { createRemotePeer, type RemotePeer } from '../../src/fs/remote-peer.ts';
import { createServing } from '../../src/fs/serve.ts';
import { silentLogger as log } from '../../src/log.ts';
import type { Answer, Handlers } from '../../src/net/channel.ts';
import { ListingReader, ListingWriter } from '../../src/wire/listing.ts';
import { LIMITS, OPEN, type Attributes } from '../../src/wire/schema.ts';
import { createMemoryChannels } from '../fs/memory-channel.ts';
import { createMemoryTree, type MemoryTree } from '../fs/memory-tree.ts';
import { folder, p } from '../fs/remote-fixture.ts';
import { writeFile } from '../fs/tree-contract.ts';
import { handlersOf } from '../net/channel-pair.ts';

const clock = systemClock;
const OWNER = { uid: 0, gid: 0 };
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;
const LARGEST = Number.MAX_SAFE_INTEGER;

/** A peer over a tree in memory, as the mounting side has it. @param lie changes what it answers. */
export function servePeer(tree: MemoryTree, lie: (honest: Handlers) => Partial<Handlers> = () => ({})): RemotePeer {
  const [mounting, serving] = createMemoryChannels();
  const leases = new LeaseTable({ clock });
  const folders = [folder(0, '', tree)];
  const shares = { list: () => folders, onChange: () => () => undefined };
  const served = createServing({ channel: serving, shares, leases, clock, log });
  const honest = { ...handlersOf({}), ...served.handlers };
  serving.serve({ ...honest, ...lie(honest) }, {});
  const remote = createRemotePeer({ channel: mounting, clock, log });
  mounting.serve({ ...handlersOf({}), ...remote.handlers }, remote.pushHandlers);
  return remote;
}

/** What is said of a name instead of the truth. */
const ATTRIBUTES: Readonly<Record<string, Partial<Attributes>>> = {
  huge: { size: LARGEST, blocks: LARGEST, blksize: 0x8000_0000, nlink: 0xffff_ffff },
  blockless: { size: 5, blksize: 0 },
  setuid: { mode: S_IFREG | 0o6755 },
  device: { mode: S_IFCHR | 0o666 },
  typeless: { mode: 0o644 },
  long: { size: 1000 },
  short: { size: 1024 * 1024 },
  old: { mtimeSec: -(2 ** 40), mtimeNsec: 999_999_999 },
};

/** Names that no directory has, in a listing of their own each. */
export const HOSTILE_NAMES = ['a/b', '..', '.', '', '/', '../x', 'x\0y'] as const;
export const LINKS: Readonly<Record<string, string>> = {
  absolute: '/etc/passwd',
  upward: '../../../../../../etc/passwd',
  ended: '..\0',
  'ended later': 'x\0/../../..',
  empty: '',
  'behind a name': 'd/../../..',
};

/** Bytes of a page; names are taken as they are. */
function pageOf(from: number, count: number, name: (index: number) => string, attributes: Attributes): Uint8Array {
  const writer = new ListingWriter(LIMITS.pieceBytes);
  writer.begin(LIMITS.pieceBytes);
  for (let index = from; index < from + count; index++) {
    writer.add({ name: name(index) as ByteString, cursor: BigInt(index + 1), attributes });
  }
  return writer.page();
}

export interface HostileServer {
  readonly remote: RemotePeer;
  /** Entries that were listed of directories that do not end. */
  readonly listed: () => number;
}

const PAGE_ENTRIES = 4096;

export async function createHostileServer(): Promise<HostileServer> {
  const tree = createMemoryTree();
  for (const name of [...Object.keys(ATTRIBUTES), 'changing', 'unsupported', 'copied', 'plain', 'seeking']) {
    await writeFile(tree, p(name), Buffer.from('plain'));
  }
  for (const name of [
    'endless',
    'circle',
    'mute',
    'd',
    'itself',
    ...HOSTILE_NAMES.map((_, index) => `names ${index}`),
  ]) {
    await tree.mkdir(p(name), 0o755, OWNER);
  }
  for (const name of Object.keys(LINKS)) await tree.symlink(p(name), Buffer.from('plain'), OWNER);
  let listed = 0;
  let changes = 0;
  let endless: Uint8Array | undefined;
  /** Paths by handle: the names of what is open. */
  const open = new Map<number, string>();

  const lieOf = (path: ByteString, attributes: Attributes): Attributes => {
    const name = nameOf(path);
    if (name === 'changing') {
      changes += 1;
      return changes % 2 === 0 ? attributes : { ...attributes, mode: S_IFDIR | 0o755 };
    }
    return { ...attributes, ...ATTRIBUTES[name] };
  };

  function lies(honest: Handlers): Partial<Handlers> {
    const plain = async (): Promise<Attributes> => tree.getattr(p('plain'), 0);
    const page = async (path: string, cursor: number): Promise<Answer<'readDirectory'> | undefined> => {
      const attributes = await plain();
      const reply = { next: BigInt(cursor + PAGE_ENTRIES), end: false, change: 1 };
      if (path === 'endless') {
        listed += PAGE_ENTRIES;
        // The same names again and again, each time further on.
        endless ??= pageOf(0, PAGE_ENTRIES, (index) => `name ${index}`, attributes);
        return { reply: { ...reply, count: PAGE_ENTRIES }, payload: endless };
      }
      if (path === 'circle') {
        listed += 1;
        return { reply: { ...reply, count: 1, next: 1n }, payload: pageOf(0, 1, () => 'again', attributes) };
      }
      if (path === 'mute') return { reply: { ...reply, count: LIMITS.entriesPerReply }, payload: new Uint8Array() };
      const index = /^names (\d)$/.exec(path)?.[1];
      if (index !== undefined) {
        const bytes = pageOf(0, 2, (at) => (at === 0 ? 'good' : (HOSTILE_NAMES[Number(index)] ?? '')), attributes);
        return { reply: { ...reply, count: 2, end: true }, payload: bytes };
      }
      if (path === 'itself') {
        const own = await tree.getattr(p('itself'), 0);
        return { reply: { ...reply, count: 1, end: true }, payload: pageOf(0, 1, () => 'me', own) };
      }
      return undefined;
    };
    /** An honest listing with what is said of each name. */
    const relist = (path: ByteString, payload: Uint8Array | undefined, count: number): Uint8Array => {
      const writer = new ListingWriter(LIMITS.pieceBytes);
      writer.begin(LIMITS.pieceBytes);
      for (const entry of new ListingReader(payload ?? new Uint8Array(), count).read(count)) {
        writer.add({ ...entry, attributes: lieOf(join(path, entry.name), entry.attributes) });
      }
      return writer.page();
    };
    return {
      async listShares(request, context) {
        const { reply } = await honest.listShares(request, context);
        const share = { share: 7, name: p('clash'), writable: true, idmap: 0 };
        return { reply: { shares: [...reply.shares, share] } };
      },
      async getattr(request, context) {
        // Whatever a share might be shown as is there already.
        if (request.path.startsWith('clash')) return honest.getattr({ ...request, path: p('plain') }, context);
        if (request.path === 'itself/me') return honest.getattr({ ...request, path: p('itself') }, context);
        const { reply } = await honest.getattr(request, context);
        return { reply: { ...reply, attributes: lieOf(request.path, reply.attributes) } };
      },
      async look(request, context) {
        if (request.path === 'itself/me') return honest.look({ ...request, path: p('itself') }, context);
        const answer = await honest.look(request, context);
        const attributes = lieOf(request.path, answer.reply.attributes);
        return { reply: { ...answer.reply, attributes }, payload: Buffer.alloc(LIMITS.pieceBytes, 'L') };
      },
      async readlink({ path }) {
        return { reply: { target: Buffer.from(LINKS[path] ?? 'plain', 'latin1') } };
      },
      async open(request, context) {
        const answer = await honest.open(request, context);
        open.set(answer.reply.handle, request.path);
        const attributes = lieOf(request.path, answer.reply.attributes);
        const isLong = request.path === 'long' && (request.flags & OPEN.read) !== 0;
        const payload = isLong ? Buffer.alloc(LIMITS.pieceBytes, 'L') : undefined;
        return { reply: { ...answer.reply, attributes }, payload: payload ?? new Uint8Array() };
      },
      async read(request, context) {
        const path = open.get(request.handle) ?? '';
        const answer = await honest.read(request, context);
        if (path === 'long')
          return { ...answer, payload: Buffer.alloc(Math.min(LIMITS.pieceBytes, 2 * request.length), 'L') };
        if (path === 'short') return { ...answer, payload: Buffer.alloc(10, 'S') };
        return answer;
      },
      readFiles: () => Promise.reject(new PeerfsError('EIO')),
      async flush(request, context) {
        if (open.get(request.handle) === 'unsupported') throw new PeerfsError('ENOSYS');
        return honest.flush(request, context);
      },
      async fsync(request, context) {
        if (open.get(request.handle) === 'unsupported') throw new PeerfsError('ENOSYS');
        return honest.fsync(request, context);
      },
      fallocate: () => Promise.reject(new PeerfsError('ENOSYS')),
      getxattr: () => Promise.reject(new PeerfsError('ENOSYS')),
      setxattr: () => Promise.reject(new PeerfsError('ENOSYS')),
      listxattr: () => Promise.reject(new PeerfsError('ENOSYS')),
      testLock: () => Promise.reject(new PeerfsError('ENOSYS')),
      async seek(request, context) {
        if (open.get(request.handle) === 'seeking') return { reply: { offset: LARGEST } };
        return honest.seek(request, context);
      },
      async copyRange(request) {
        return {
          reply: {
            copied: Math.min(LARGEST, request.length * 2 + 1),
            size: LARGEST,
            mtimeSec: 0,
            mtimeNsec: 0,
            change: 1,
          },
        };
      },
      async statfs(request, context) {
        const { reply } = await honest.statfs(request, context);
        return { reply: { ...reply, blockSize: 0, blocks: LARGEST, blocksFree: LARGEST, blocksAvailable: LARGEST } };
      },
      async openDirectory(request, context) {
        const answer = await page(request.path, 0);
        if (answer === undefined) {
          const { reply, payload } = await honest.openDirectory(request, context);
          return { reply, payload: relist(request.path, payload, reply.count) };
        }
        const handle = 1_000_000 + open.size;
        open.set(handle, request.path);
        return { reply: { ...answer.reply, handle, leaseMs: 15_000 }, payload: answer.payload ?? new Uint8Array() };
      },
      async listDirectory(request, context) {
        const answer = await page(request.path, 0);
        if (answer === undefined) {
          const { reply, payload } = await honest.listDirectory(request, context);
          return { reply, payload: relist(request.path, payload, reply.count) };
        }
        return { reply: { ...answer.reply, leaseMs: 15_000 }, payload: answer.payload ?? new Uint8Array() };
      },
      async readDirectory(request, context) {
        const answer = await page(open.get(request.handle) ?? '', Number(request.cursor));
        return answer ?? honest.readDirectory(request, context);
      },
    };
  }

  return { remote: servePeer(tree, lies), listed: () => listed };
}
