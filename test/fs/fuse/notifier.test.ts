import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ByteString } from '../../../src/bytestring.ts';
import { Notifier, type BatchWriter } from '../../../src/fs/fuse/notifier.ts';
import { NOTIFY } from '../../../src/fs/fuse/protocol.ts';
import { NOTIFY_INVAL_INODE_OUT, OUT_HEADER } from '../../../src/fs/fuse/structures.ts';

class FakeWriter implements BatchWriter {
  readonly batches: Buffer[] = [];
  onResult: BatchWriter['onResult'] = () => undefined;
  closed = 0;

  write(batch: Uint8Array): void {
    this.batches.push(Buffer.from(batch));
  }

  done(): void {
    this.onResult({ done: 1, absent: 0, failed: 0 });
  }

  async close(): Promise<void> {
    this.closed += 1;
  }

  /** Codes of the notifications in a batch. */
  codes(batch: number): number[] {
    const bytes = this.batches[batch] ?? Buffer.alloc(0);
    const codes = [];
    for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at))
      codes.push(bytes.readInt32LE(at + OUT_HEADER.at.error));
    return codes;
  }
}

const name = (text: string): ByteString => text as ByteString;
const turn = (): Promise<void> => new Promise((resolve) => queueMicrotask(resolve));

test('what one event brings goes in one batch, and the next waits for its end', async () => {
  const writer = new FakeWriter();
  const notifier = new Notifier(writer);
  notifier.invalidateInode(5, 0, -1);
  notifier.invalidateEntry(1, name('a'));
  notifier.deleteEntry(1, 5, name('b'));
  await turn();
  assert.deepEqual(writer.codes(0).sort(), [NOTIFY.INVAL_INODE, NOTIFY.INVAL_ENTRY, NOTIFY.DELETE]);
  notifier.invalidateInode(6, 0, -1);
  await turn();
  assert.equal(writer.batches.length, 1);
  writer.done();
  assert.deepEqual(writer.codes(1), [NOTIFY.INVAL_INODE]);
});

test('news of one inode that wait become one, which covers all', async () => {
  const writer = new FakeWriter();
  const notifier = new Notifier(writer);
  notifier.invalidateInode(5, 0, -1);
  notifier.invalidateInode(5, 8192, 4096);
  notifier.invalidateInode(5, 0, -1);
  notifier.invalidateInode(5, 4096, 4096);
  await turn();
  const body = writer.batches[0]?.subarray(OUT_HEADER.sizeBytes) ?? Buffer.alloc(24);
  assert.deepEqual(
    [body.readBigInt64LE(NOTIFY_INVAL_INODE_OUT.at.off), body.readBigInt64LE(NOTIFY_INVAL_INODE_OUT.at.len)],
    [4096n, 8192n],
  );
  assert.equal(notifier.statistics.coalesced, 3);
});

test('too many names that wait become one word: all are stale', async () => {
  const writer = new FakeWriter();
  const notifier = new Notifier(writer);
  for (let i = 0; i < 20_000; i += 1) notifier.invalidateEntry(1, name(`n${i}`));
  notifier.invalidateInode(7, 0, 0);
  await turn();
  assert.deepEqual(writer.codes(0), [NOTIFY.INC_EPOCH, NOTIFY.INVAL_INODE]);
  assert.equal(notifier.statistics.overflows, 1);
});

test('after closing nothing is written', async () => {
  const writer = new FakeWriter();
  const notifier = new Notifier(writer);
  notifier.invalidateInode(5, 0, -1);
  await Promise.all([notifier.close(), notifier.close()]);
  await turn();
  assert.deepEqual([writer.batches.length, writer.closed], [0, 1]);
});
