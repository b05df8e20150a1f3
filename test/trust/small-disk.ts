/** Small disks in memory for tests, where root may make them. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SmallDisk {
  readonly directory: string;
  /** Idempotent. */
  close(): void;
}

export const isRoot = process.getuid?.() === 0;

/** @param options of tmpfs: size=4M,nr_inodes=100. Needs root. */
export function makeSmallDisk(options: string): SmallDisk {
  const directory = mkdtempSync(join(tmpdir(), 'peerfs-disk-'));
  mount(['-t', 'tmpfs', '-o', options, 'tmpfs', directory]);
  let isOpen = true;
  return {
    directory,
    close() {
      if (!isOpen) return;
      isOpen = false;
      const done = spawnSync('umount', [directory]);
      // What still uses it ends with the test; nothing is left where it was.
      if (done.status !== 0) spawnSync('umount', ['-l', directory]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export function mount(args: readonly string[]): void {
  const done = spawnSync('mount', args);
  if (done.status !== 0) throw new Error(`mount ${args.join(' ')}: ${done.stderr.toString()}`);
}
