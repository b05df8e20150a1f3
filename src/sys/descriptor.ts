/** Descriptors of open files and sockets. */
import type { Socket } from 'node:net';
import { systemError } from './errno.ts';
import { declare, errno } from './libc.ts';

/** fcntl.h */
const F_DUPFD_CLOEXEC = 1030;

const fcntl = declare('fcntl', 'int', ['int', 'int', 'long']);

/** A second descriptor of what the first one stands for. @throws PeerfsError EMFILE */
export function duplicateDescriptor(descriptor: number): number {
  const copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw systemError(errno(), 'fcntl');
  return copy;
}

/** Of a socket of Node's, which gives no other way to it; undefined once it is closed. */
export function descriptorOf(socket: Socket): number | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  const descriptor: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof descriptor === 'number' && descriptor >= 0 ? descriptor : undefined;
}
