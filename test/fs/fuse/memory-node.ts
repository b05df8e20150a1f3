/**
 * A process that mounts a MemoryKernelFileSystem, for tests that work on the mount from outside. Arguments: mountpoint
 * and a JSON of NodeSetting. Says `ready` on a line of its own, then answers commands, one JSON a line, with one line.
 */
import { createInterface } from 'node:readline';
import type { ByteString } from '../../../src/bytestring.ts';
import { PeerfsError } from '../../../src/errors.ts';
import { mountFuse } from '../../../src/fs/fuse/mount.ts';
import { mountFuseNative } from '../../../src/fs/fuse-native.ts';
import { silentLogger } from '../../../src/log.ts';
import { MemoryKernelFileSystem } from './memory-kernel-fs.ts';

export interface NodeSetting {
  /** Default: /dev/fuse. */
  readonly binding?: 'fuse-native';
  readonly validMs?: number;
  readonly directIo?: boolean;
  readonly readOnly?: boolean;
  readonly allowOther?: boolean;
}

export type NodeCommand =
  | { readonly do: 'counts' }
  /** Changes a file behind the kernel's back, and tells it if asked to. */
  | { readonly do: 'change'; readonly name: string; readonly text: string; readonly notify: boolean }
  /** Gives the kernel contents of a file that nobody has open. */
  | { readonly do: 'store'; readonly name: string; readonly text: string }
  | { readonly do: 'vanish'; readonly name: string; readonly notify: boolean }
  | { readonly do: 'unmount' };

const [mountpoint = '', text = '{}'] = process.argv.slice(2);
const setting = JSON.parse(text) as NodeSetting;
const fileSystem = new MemoryKernelFileSystem({
  validMs: setting.validMs ?? 1000,
  directIo: setting.directIo ?? false,
});
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

try {
  const mount = await (setting.binding === undefined ? mountFuse : mountFuseNative)(fileSystem, {
    mountpoint,
    readOnly: setting.readOnly ?? false,
    allowOther: setting.allowOther ?? false,
    log: silentLogger,
    onEnd: (reason) => say({ ended: reason }),
  });
  process.on('SIGTERM', () => void mount.unmount().then(() => process.exit(0)));
  const run = async (command: NodeCommand): Promise<unknown> => {
    switch (command.do) {
      case 'counts':
        return fileSystem.counts();
      case 'change': {
        const node = fileSystem.change(command.name, command.text);
        if (command.notify) mount.notifier.invalidateInode(node, 0, 0);
        await mount.notifier.settled?.();
        return node;
      }
      case 'store':
        return mount.notifier.store?.(fileSystem.nodeOf(command.name), Buffer.from(command.text));
      case 'vanish': {
        const node = fileSystem.vanish(command.name);
        if (command.notify) mount.notifier.deleteEntry(1, node, command.name as ByteString);
        return node;
      }
      case 'unmount':
        await mount.unmount();
        return 'unmounted';
    }
  };
  createInterface({ input: process.stdin }).on('line', (line) => {
    run(JSON.parse(line) as NodeCommand).then(
      (answer) => say({ answer }),
      (error: unknown) => say({ error: String(error) }),
    );
  });
  process.stdin.on('end', () => void mount.unmount().then(() => process.exit(0)));
  say('ready');
} catch (error) {
  say({
    failed:
      error instanceof PeerfsError ? { code: error.code, message: error.message, hint: error.hint } : String(error),
  });
  process.exitCode = 1;
}
