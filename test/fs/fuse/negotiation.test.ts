import assert from 'node:assert/strict';
import { test } from 'node:test';
import { negotiate } from '../../../src/fs/fuse/negotiation.ts';
import { INIT_FLAG, type InitFlag } from '../../../src/fs/fuse/protocol.ts';
import { INIT_OUT } from '../../../src/fs/fuse/structures.ts';

const ALL = 0xffff_ffff;
const request = (minor: number, flags = ALL, flags2 = ALL): Uint32Array =>
  Uint32Array.of(7, minor, 131_072, flags, flags2);
const UNWANTED: readonly InitFlag[] = ['WRITEBACK_CACHE', 'AUTO_INVAL_DATA', 'ASYNC_DIO', 'CACHE_SYMLINKS'];

test('takes what is wanted of what the kernel has, and nothing else', () => {
  const agreement = negotiate(request(45));
  assert.ok(agreement);
  const reply = Buffer.from(agreement.reply);
  assert.equal(reply.length, INIT_OUT.sizeBytes);
  for (const flag of UNWANTED) assert.equal((reply.readUInt32LE(INIT_OUT.at.flags) >>> INIT_FLAG[flag]) & 1, 0, flag);
  assert.equal((reply.readUInt32LE(INIT_OUT.at.flags) >>> INIT_FLAG.HANDLE_KILLPRIV_V2) & 1, 1);
  assert.equal(reply.readUInt32LE(INIT_OUT.at.flags2), 0b11000, 'HAS_EXPIRE_ONLY and DIRECT_IO_ALLOW_MMAP');
  assert.equal(reply.readUInt32LE(INIT_OUT.at.max_write), 1 << 20);
  assert.equal(reply.readUInt16LE(INIT_OUT.at.max_pages), 256);
  assert.equal(reply.readUInt32LE(INIT_OUT.at.time_gran), 1);
});

test('takes nothing that the kernel does not have, nor the second word of flags without INIT_EXT', () => {
  assert.equal(negotiate(request(45, 0, ALL))?.flags.size, 0);
  assert.deepEqual([...(negotiate(request(45, 1, ALL))?.flags ?? [])], ['ASYNC_READ']);
});

test('answers with the older of the two versions, and not at all to a kernel before 7.31', () => {
  const minorOf = (minor: number): number | undefined => {
    const agreement = negotiate(request(minor));
    return agreement && Buffer.from(agreement.reply).readUInt32LE(INIT_OUT.at.minor);
  };
  assert.deepEqual([30, 31, 38, 45].map(minorOf), [undefined, 31, 38, 38]);
});
