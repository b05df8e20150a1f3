/** Our layouts of the kernel's structures against the system's header, and against numbers typed in from it. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { INIT_FLAG, OPCODE } from '../../../src/fs/fuse/protocol.ts';
import * as structures from '../../../src/fs/fuse/structures.ts';
import { runProgram } from '../mounted-process.ts';

interface Layout {
  readonly name: string;
  readonly sizeBytes: number;
  readonly at: Readonly<Record<string, number>>;
}
const LAYOUTS: readonly Layout[] = Object.values(structures).filter((value) => typeof value === 'object');

/** sizeof, from linux/fuse.h of 7.38. */
const SIZES: Readonly<Record<string, number>> = {
  fuse_in_header: 40,
  fuse_out_header: 16,
  fuse_attr: 88,
  fuse_entry_out: 128,
  fuse_attr_out: 104,
  fuse_init_in: 64,
  fuse_init_out: 64,
  fuse_forget_in: 8,
  fuse_forget_one: 16,
  fuse_batch_forget_in: 8,
  fuse_getattr_in: 16,
  fuse_setattr_in: 88,
  fuse_mknod_in: 16,
  fuse_mkdir_in: 8,
  fuse_rename_in: 8,
  fuse_rename2_in: 16,
  fuse_link_in: 8,
  fuse_open_in: 8,
  fuse_create_in: 16,
  fuse_open_out: 16,
  fuse_release_in: 24,
  fuse_flush_in: 24,
  fuse_fsync_in: 16,
  fuse_read_in: 40,
  fuse_write_in: 40,
  fuse_write_out: 8,
  fuse_kstatfs: 80,
  fuse_setxattr_in: 16,
  fuse_getxattr_in: 8,
  fuse_getxattr_out: 8,
  fuse_file_lock: 24,
  fuse_lk_in: 48,
  fuse_interrupt_in: 8,
  fuse_fallocate_in: 32,
  fuse_lseek_in: 24,
  fuse_lseek_out: 8,
  fuse_copy_file_range_in: 56,
  fuse_dirent: 24,
  fuse_notify_inval_inode_out: 24,
  fuse_notify_inval_entry_out: 16,
  fuse_notify_store_out: 24,
  fuse_notify_delete_out: 24,
};

test('every structure has the size that the header gives it', () => {
  assert.deepEqual(Object.fromEntries(LAYOUTS.map(({ name, sizeBytes }) => [name, sizeBytes])), SIZES);
});

test('offsets, opcodes and flags are those of this system’s compiler, where it has one', async () => {
  if (!existsSync('/usr/include/linux/fuse.h') || !existsSync('/usr/bin/cc')) return;
  const ours: string[] = [];
  const prints: string[] = [];
  const print = (expression: string, value: number): void => {
    ours.push(`${expression} ${value}`);
    prints.push(`printf("%s %ld\\n", "${expression}", (long)(${expression}));`);
  };
  for (const { name, sizeBytes, at } of LAYOUTS) {
    print(`sizeof(struct ${name})`, sizeBytes);
    for (const [field, offset] of Object.entries(at)) print(`offsetof(struct ${name}, ${field})`, offset);
  }
  for (const [name, value] of Object.entries(OPCODE)) print(`FUSE_${name}`, value);
  const flags = Object.entries(INIT_FLAG).map(([name, bit]) => ({ name: `FUSE_${name}`, bit }));
  // A header older than the flag cannot judge it.
  for (const { name, bit } of flags) {
    ours.push(`${name} ${bit}`);
    prints.push(`#ifdef ${name}`, `printf("${name} %d\\n", __builtin_ctzll((unsigned long long)${name}));`);
    prints.push('#else', `printf("${name} ${bit}\\n");`, '#endif');
  }
  const source = `#include <stdio.h>\n#include <stddef.h>\n#include <linux/fuse.h>\nint main(void) {\n${prints.join('\n')}\n}\n`;
  const folder = await mkdtemp(join(tmpdir(), 'peerfs-structures-'));
  try {
    const program = join(folder, 'print');
    const compiled = await runProgram(['cc', '-x', 'c', '-o', program, '-'], { input: source });
    assert.equal(compiled.code, 0, compiled.errors);
    const { output } = await runProgram([program]);
    assert.deepEqual(output.trim().split('\n'), ours);
  } finally {
    await rm(folder, { recursive: true });
  }
});
