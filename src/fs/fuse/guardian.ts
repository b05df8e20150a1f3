/**
 * A small process that takes the mount down when this one dies, however it dies. Its standard input is a pipe from us:
 * the kernel closes it for us. Started before the device is opened, so that it cannot keep it open.
 */
import { spawn } from 'node:child_process';
import { Socket } from 'node:net';

/** The mountpoint is $0, never part of the script. */
const script = (unmount: string): string => `read -r line; [ "$line" = done ] || exec ${unmount} "$0"`;
const AS_ROOT = script('umount -l');
const AS_USER = script('fusermount3 -u -z -q');

export interface Guardian {
  /** The mount has ended: nothing is left to do. Idempotent. */
  dismiss(): void;
}

/** @param mountpoint absolute, so that it cannot be taken for an option. */
export function startGuardian(mountpoint: string, asRoot: boolean): Guardian {
  const child = spawn('/bin/sh', ['-c', asRoot ? AS_ROOT : AS_USER, mountpoint], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Ctrl-C at the terminal is for us, not for it.
    detached: true,
    cwd: '/',
  });
  // Without a guardian a killed node leaves a dead mount, which the next start clears.
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.unref();
  // A pipe to a child is a socket of Node's.
  if (child.stdin instanceof Socket) child.stdin.unref();
  return { dismiss: () => void child.stdin.end('done\n') };
}
