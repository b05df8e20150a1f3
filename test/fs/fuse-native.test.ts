/** The second binding: its operations by themselves, and, where npm's fuse-native is installed, the contract. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { Faults } from '../../src/faults.ts';
import { nativeOperations } from '../../src/fs/fuse-native.ts';
import { silentLogger } from '../../src/log.ts';
import { MemoryKernelFileSystem } from './fuse/memory-kernel-fs.ts';
import { kernelContract, type Point } from './kernel-contract.ts';
import { startMounted } from './mounted-process.ts';

/** What it cannot do, and why: its limits are those of the package and of libfuse 2. */
const LIMITS: Readonly<Partial<Record<Point, string>>> = {
  names: 'names are decoded as UTF-8, which loses other bytes',
  'large directory': 'its names are bytes that are no UTF-8',
  'rename flags': 'libfuse 2 has none',
  links: 'targets of links are decoded as UTF-8',
  times: 'milliseconds, and utimens hands over the access time as both',
  holes: 'libfuse 2 has no lseek',
  allocation: 'the package has no fallocate',
  interrupts: 'the package passes none on: who hangs cannot be ended',
  notifications: 'libfuse 2 has none by path; the kernel keeps attributes for a second at most',
  status: 'the package cuts the numbers to 32 bits',
  'wide numbers': 'the package cuts inode numbers to 32 bits',
  'attributes of users': 'not mapped',
  'other attributes': 'not mapped',
};

function call(fileSystem: MemoryKernelFileSystem, name: string, ...values: unknown[]): Promise<[number, unknown]> {
  return new Promise((resolve) => {
    const operation = nativeOperations(fileSystem, new Faults(silentLogger, 'fault'))[name] as
      ((...all: unknown[]) => void) | undefined;
    operation?.(...values, (result: number, value: unknown) => resolve([result, value]));
  });
}

test('paths are walked, and every reference taken on the way is given back', async () => {
  const fileSystem = new MemoryKernelFileSystem({ validMs: 0, directIo: false });
  assert.deepEqual(await call(fileSystem, 'mkdir', '/d', 0o755), [0, undefined]);
  const [, handle] = await call(fileSystem, 'create', '/d/f', 0o640);
  assert.deepEqual(await call(fileSystem, 'write', '/d/f', handle, Buffer.from('hello'), 5, 0), [5, undefined]);
  const buffer = Buffer.alloc(5);
  assert.deepEqual(await call(fileSystem, 'read', '/d/f', handle, buffer, 5, 0), [5, undefined]);
  assert.equal(buffer.toString(), 'hello');
  await call(fileSystem, 'release', '/d/f', handle);
  await call(fileSystem, 'link', '/d/f', '/d/g');
  await call(fileSystem, 'rename', '/d/g', '/h');
  await call(fileSystem, 'symlink', 'd/f', '/l');
  assert.deepEqual(await call(fileSystem, 'readlink', '/l'), [0, 'd/f']);
  assert.deepEqual(await call(fileSystem, 'getattr', '/d/none/x'), [-2, undefined]);
  assert.deepEqual((await call(fileSystem, 'readdir', '/d'))[1], ['.', '..', 'f']);
  assert.deepEqual(await call(fileSystem, 'unlink', '/h'), [0, undefined]);
  const { lookups, handles } = fileSystem.counts();
  assert.deepEqual([lookups, handles], [0, 0]);
});

if (isInstalled()) {
  kernelContract('fuse-native', {
    start: () =>
      startMounted(new URL('./fuse/memory-node.js', import.meta.url), { setting: { binding: 'fuse-native' } }),
    except: LIMITS,
  });
}

function isInstalled(): boolean {
  try {
    createRequire(import.meta.url)('fuse-native');
    return true;
  } catch {
    return false;
  }
}
