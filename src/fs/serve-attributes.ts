/** Calls of a peer about attributes, plain and extended, and what links say. */
import { nameOf, parentOf, toBytes, type ByteString } from '../bytestring.ts';
import type { Answer } from '../net/channel.ts';
import { SETATTR, type RequestOf } from '../wire/schema.ts';
import { attributeChange, contentsChanged, fileChanged, isCovered } from './served-changes.ts';
import type { ServedHandlers, ServedPeer } from './served-peer.ts';

type AttributeCall =
  'statfs' | 'getattr' | 'look' | 'setattr' | 'readlink' | 'getxattr' | 'setxattr' | 'listxattr' | 'removexattr';

export function attributeHandlers(peer: ServedPeer): ServedHandlers<AttributeCall> {
  async function getattr({ share, path, handle }: RequestOf<'getattr'>): Promise<Answer<'getattr'>> {
    const served = peer.served(share);
    const open = handle === 0 ? undefined : peer.file(handle, served);
    const { change } = served.leases;
    const granted = served.leases.grant(served.holder, parentOf(path), nameOf(path));
    const leaseMs = typeof granted === 'number' ? granted : await granted;
    const attributes = await served.tree.getattr(path, open?.handle ?? 0);
    return { reply: { attributes, change, leaseMs: isCovered(attributes) ? leaseMs : 0 } };
  }

  async function look({ share, path, wantBytes }: RequestOf<'look'>): Promise<Answer<'look'>> {
    const { tree, leases, holder } = peer.served(share);
    const { change } = leases;
    const granted = leases.grant(holder, parentOf(path), nameOf(path));
    const leaseMs = typeof granted === 'number' ? granted : await granted;
    const { attributes, contents } = await tree.look(path, wantBytes);
    return { reply: { attributes, change, leaseMs: isCovered(attributes) ? leaseMs : 0 }, payload: contents };
  }

  async function setattr(request: RequestOf<'setattr'>): Promise<Answer<'setattr'>> {
    const { share, handle, valid } = request;
    const served = peer.writable(share);
    const open = handle === 0 ? undefined : peer.file(handle, served);
    const { change } = served.leases;
    const leaseMs = await served.leases.grant(served.holder, parentOf(request.path), nameOf(request.path));
    const setting = served.tree.setattr(request.path, open?.handle ?? 0, attributeChange(request));
    const changed = (valid & SETATTR.size) === 0 ? fileChanged : contentsChanged;
    const attributes = await (open === undefined
      ? peer.changing(served, [changed(request.path)], setting)
      : peer.writing(open, setting, changed));
    return { reply: { attributes, change, leaseMs: isCovered(attributes) ? leaseMs : 0 } };
  }

  return {
    statfs: peer.heard(async ({ share, path }) => ({ reply: await peer.served(share).tree.statfs(path) })),
    getattr: peer.heard((request) => getattr(request)),
    look: peer.heard((request) => look(request)),
    setattr: peer.heard((request) => setattr(request)),
    readlink: peer.heard(async ({ share, path }) => ({
      reply: { target: await peer.served(share).tree.readlink(path) },
    })),
    getxattr: peer.heard(async ({ share, path, name }) => ({
      reply: { value: await peer.served(share).tree.getxattr(path, name) },
    })),
    setxattr: peer.heard(async ({ share, path, name, value, flags }) => {
      const served = peer.writable(share);
      const { change } = served.leases;
      await peer.changing(served, [fileChanged(path)], served.tree.setxattr(path, name, value, flags));
      return { reply: { change } };
    }),
    listxattr: peer.heard(async ({ share, path }) => {
      const names = await peer.served(share).tree.listxattr(path);
      return { reply: { names: Buffer.concat(names.map((name) => toBytes(`${name}\0` as ByteString))) } };
    }),
    removexattr: peer.heard(async ({ share, path, name }) => {
      const served = peer.writable(share);
      const { change } = served.leases;
      await peer.changing(served, [fileChanged(path)], served.tree.removexattr(path, name));
      return { reply: { change } };
    }),
  };
}
