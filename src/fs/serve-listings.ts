/** Calls of a peer that list directories. */
import type { Answer } from '../net/channel.ts';
import { PeerfsError } from '../errors.ts';
import type { RequestOf } from '../wire/schema.ts';
import { ServedHandle } from './served-handles.ts';
import type { ServedHandlers, ServedPeer } from './served-peer.ts';

export function listingHandlers(peer: ServedPeer): ServedHandlers<'openDirectory' | 'readDirectory' | 'listDirectory'> {
  async function openDirectory({
    share,
    path,
    maxEntries,
  }: RequestOf<'openDirectory'>): Promise<Answer<'openDirectory'>> {
    const served = peer.served(share);
    const place = peer.handles.reserve();
    try {
      const { change } = served.leases;
      const leaseMs = await served.leases.grant(served.holder, path);
      const { handle: opened, bytes, ...page } = await served.tree.listDirectory(path, maxEntries, true);
      let handle = 0;
      if (opened !== 0) {
        const gone = peer.goneMeanwhile(served, opened, place);
        if (gone !== undefined) await gone;
        handle = place.fill(new ServedHandle(served, opened, path, undefined));
      }
      return { reply: { handle, ...page, change, leaseMs }, payload: bytes };
    } finally {
      place.leave();
    }
  }

  async function listDirectory({
    share,
    path,
    maxEntries,
  }: RequestOf<'listDirectory'>): Promise<Answer<'listDirectory'>> {
    const { leases, holder, tree } = peer.served(share);
    const { change } = leases;
    const leaseMs = await leases.grant(holder, path);
    const { count, next, end, bytes } = await tree.listDirectory(path, maxEntries, false);
    return { reply: { count, next, end, change, leaseMs }, payload: bytes };
  }

  function readDirectory(request: RequestOf<'readDirectory'>): Promise<Answer<'readDirectory'>> {
    const open = peer.handles.get(request.handle);
    if (!open.isDirectory) throw new PeerfsError('ENOTDIR', 'not a directory');
    const { leases, holder } = open.served;
    return leases.soles.visiting(holder, { directories: [open.path] }, () => readOpenDirectory(open, request));
  }

  async function readOpenDirectory(
    open: ServedHandle,
    { cursor, maxEntries }: RequestOf<'readDirectory'>,
  ): Promise<Answer<'readDirectory'>> {
    const { leases, holder, tree } = open.served;
    // Attributes of all its files are read: each is to be recalled again.
    const { change } = leases;
    if (cursor === 0n) await leases.grant(holder, open.path);
    const { bytes, ...page } = await tree.readPage(open.handle, cursor, maxEntries);
    return { reply: { ...page, change }, payload: bytes };
  }

  return {
    openDirectory: peer.heard((request) => openDirectory(request)),
    listDirectory: peer.heard((request) => listDirectory(request)),
    readDirectory: peer.heard((request) => readDirectory(request)),
  };
}
