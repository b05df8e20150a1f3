/** The bytes of notifications, which tell the kernel what it must forget. */
import type { ByteString } from '../../bytestring.ts';
import type { NodeId } from '../kernel.ts';
import { NOTIFY } from './protocol.ts';
import { NOTIFY_DELETE_OUT, NOTIFY_INVAL_ENTRY_OUT, NOTIFY_INVAL_INODE_OUT, OUT_HEADER } from './structures.ts';

function notification(code: number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(OUT_HEADER.sizeBytes + sizeBytes);
  bytes.writeUInt32LE(bytes.length, OUT_HEADER.at.len);
  // The code stands where answers have their error; that unique is 0 tells them apart.
  bytes.writeInt32LE(code, OUT_HEADER.at.error);
  return bytes;
}

/** @param length negative: attributes alone; 0: pages from `offset` to the end, and attributes. */
export function encodeInvalidateInode(node: NodeId, offset: number, length: number): Buffer {
  const bytes = notification(NOTIFY.INVAL_INODE, NOTIFY_INVAL_INODE_OUT.sizeBytes);
  const body = bytes.subarray(OUT_HEADER.sizeBytes);
  const { at } = NOTIFY_INVAL_INODE_OUT;
  body.writeBigUInt64LE(BigInt(node), at.ino);
  // The kernel takes a negative offset for "no pages".
  body.writeBigInt64LE(length < 0 ? -1n : BigInt(offset), at.off);
  body.writeBigInt64LE(BigInt(Math.max(length, 0)), at.len);
  return bytes;
}

export function encodeInvalidateEntry(parent: NodeId, name: ByteString): Buffer {
  const { at, sizeBytes } = NOTIFY_INVAL_ENTRY_OUT;
  const bytes = notification(NOTIFY.INVAL_ENTRY, sizeBytes + name.length + 1);
  const body = bytes.subarray(OUT_HEADER.sizeBytes);
  body.writeBigUInt64LE(BigInt(parent), at.parent);
  body.writeUInt32LE(name.length, at.namelen);
  body.write(name, sizeBytes, 'latin1');
  return bytes;
}

export function encodeDelete(parent: NodeId, child: NodeId, name: ByteString): Buffer {
  const { at, sizeBytes } = NOTIFY_DELETE_OUT;
  const bytes = notification(NOTIFY.DELETE, sizeBytes + name.length + 1);
  const body = bytes.subarray(OUT_HEADER.sizeBytes);
  body.writeBigUInt64LE(BigInt(parent), at.parent);
  body.writeBigUInt64LE(BigInt(child), at.child);
  body.writeUInt32LE(name.length, at.namelen);
  body.write(name, sizeBytes, 'latin1');
  return bytes;
}

/** Every name is stale. Kernels before 7.44 refuse it. */
export function encodeNewEpoch(): Buffer {
  return notification(NOTIFY.INC_EPOCH, 0);
}
