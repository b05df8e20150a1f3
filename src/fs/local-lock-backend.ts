/**
 * Shows the locks of a LocalTree's callers to programs of this machine, and theirs to the table: one descriptor for
 * each file with POSIX locks, on which the union of all callers' ranges is held as OFD locks; flock on the handle's own.
 */
import { codeOf } from '../errors.ts';
import { closeDescriptor, O, reopen } from '../sys/files.ts';
import { setFileLock, setRangeLock, testRangeLock } from '../sys/kernel-locks.ts';
import { LOCK_TYPE } from '../wire/schema.ts';
import type { LockBackend, UnionRange } from './local-locks.ts';
import type { HandleTable } from './local-state.ts';
import type { Handle } from './tree.ts';

interface LockDescriptor {
  readonly descriptor: number;
  readonly canWrite: boolean;
}

/**
 * @param writable whether files may be opened for writing, which write locks of the kernel need.
 * @param closing runs the closing of a file that is open for writing (inotify tells of it).
 */
export function createLockBackend(
  handles: HandleTable,
  writable: boolean,
  closing: (file: string, close: () => void) => void,
): LockBackend & { close(): void } {
  const byFile = new Map<string, LockDescriptor>();

  function descriptorOf(file: string, handle: Handle): LockDescriptor {
    let found = byFile.get(file);
    if (found === undefined) {
      found = openFor(handles.get(handle).descriptor, writable);
      byFile.set(file, found);
    }
    return found;
  }

  function set(lock: LockDescriptor, range: UnionRange): boolean {
    // A read-only file takes only read locks from the kernel; between our callers the table decides.
    const type = range.type === LOCK_TYPE.write && !lock.canWrite ? LOCK_TYPE.read : range.type;
    return setRangeLock(lock.descriptor, type, range.start, range.end);
  }

  function drop(file: string, lock: LockDescriptor): void {
    byFile.delete(file);
    if (lock.canWrite) closing(file, () => closeDescriptor(lock.descriptor));
    else closeDescriptor(lock.descriptor);
  }

  return {
    setRanges(file, handle, ranges, before) {
      const lock = descriptorOf(file, handle);
      for (const range of ranges) {
        if (set(lock, range)) continue;
        // Giving back what was had before cannot meet a conflict: it is no more than was held all the time.
        for (const old of before) set(lock, old);
        return false;
      }
      return true;
    },
    setFlock(handle, type) {
      return setFileLock(handles.get(handle).descriptor, type);
    },
    test(file, handle, range) {
      const isHeld = byFile.has(file);
      const lock = descriptorOf(file, handle);
      const type = range.type === LOCK_TYPE.write && !lock.canWrite ? LOCK_TYPE.read : range.type;
      const found = testRangeLock(lock.descriptor, type, range.start, range.end);
      if (!isHeld) drop(file, lock);
      return found === undefined ? undefined : { owner: 0n, ...found };
    },
    forget(file) {
      const lock = byFile.get(file);
      if (lock !== undefined) drop(file, lock);
    },
    close() {
      for (const [file, lock] of [...byFile]) drop(file, lock);
    },
  };
}

function openFor(descriptor: number, writable: boolean): LockDescriptor {
  try {
    if (writable) return { descriptor: reopen(descriptor, O.RDWR | O.NOCTTY), canWrite: true };
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') throw error;
  }
  return { descriptor: reopen(descriptor, O.RDONLY | O.NOCTTY), canWrite: false };
}
