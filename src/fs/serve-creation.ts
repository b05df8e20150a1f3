/** The call of a peer that makes a small file at once: opening, writing, attributes. */
import { nameOf, parentOf } from '../bytestring.ts';
import { ERROR_CODES, PeerfsError } from '../errors.ts';
import { recycle } from '../frame-pool.ts';
import type { Answer } from '../net/channel.ts';
import { OPEN, type RequestOf } from '../wire/schema.ts';
import { attributeChange, contentsChanged, isCovered, namesChanged } from './served-changes.ts';
import { coversDirectory, NO_NAMES, soleAfter } from './served-directories.ts';
import { ServedHandle } from './served-handles.ts';
import type { ServedHandlers, ServedPeer } from './served-peer.ts';

export function creationHandlers(peer: ServedPeer): ServedHandlers<'createFile'> {
  async function create(request: RequestOf<'createFile'>, payload: Uint8Array): Promise<Answer<'createFile'>> {
    const { share, path, flags, permissions, uid, gid } = request;
    if ((flags & OPEN.create) === 0) throw new PeerfsError('EINVAL', 'nothing is to be created');
    const served = peer.writable(share);
    const place = peer.handles.reserve();
    try {
      const { change } = served.leases;
      const leaseMs = await served.leases.grant(served.holder, parentOf(path), nameOf(path));
      const asked = attributeChange({ ...request, uid: 0, gid: 0, size: 0 });
      const isCoveredToo = coversDirectory(served, path);
      const order = served.leases.nextOrder();
      const options = { flags, permissions, uid, gid };
      const made = await served.tree.createFile(path, options, payload, asked, isCoveredToo);
      const { handle: opened, created, attributes, failure, directory } = made;
      recycle(payload);
      const changes = created ? namesChanged(path) : [contentsChanged(path)];
      const gone = peer.goneMeanwhile(served, opened, place, changes);
      if (gone !== undefined) await gone;
      const handle = place.fill(new ServedHandle(served, opened, path, attributes));
      await served.leases.changed(served.holder, changes);
      const directories = directory === undefined ? [] : [directory];
      const names = created ? { directories, order, ...soleAfter(served, path) } : NO_NAMES;
      const coveredMs = isCovered(attributes) ? leaseMs : 0;
      const code = failure === undefined ? 0 : ERROR_CODES[failure].wire;
      return { reply: { handle, created, failure: code, attributes, change, leaseMs: coveredMs, ...names } };
    } finally {
      place.leave();
    }
  }

  return { createFile: peer.heard((request, { payload }) => create(request, payload)) };
}
