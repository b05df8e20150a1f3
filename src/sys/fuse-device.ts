/**
 * The device /dev/fuse: opening it, reading requests, writing replies, being told when there is something to read.
 * Knows nothing of what the bytes mean (src/fs/fuse/).
 *
 * Readiness comes from libuv's own epoll set: a Unix socket is given to net.Socket and, before libuv registers its
 * descriptor, the device is put over it by dup3. No thread waits in read(2), which process.exit() could not end.
 */
import { closeSync, constants as files, openSync, read } from 'node:fs';
import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net';
import { constants } from 'node:os';
import { addressOf, declare, errno } from './libc.ts';
import { codeOfErrno, systemError } from './errno.ts';
import { PeerfsError, type ErrorCode } from '../errors.ts';

const DEVICE = '/dev/fuse';

/** sys/socket.h, fcntl.h */
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const CLOEXEC = 0o2000000;
const { EAGAIN, EINTR, ENOENT } = constants.errno;
const F_GETFL = 3;
const F_SETFL = 4;

const call = {
  dup3: declare('dup3', 'int', ['int', 'int', 'int']),
  fcntl: declare('fcntl', 'int', ['int', 'int', 'long']),
  read: declare('read', 'long', ['int', 'pointer', 'size']),
  socketpair: declare('socketpair', 'int', ['int', 'int', 'int', 'buffer']),
  write: declare('write', 'long', ['int', 'pointer', 'size']),
  writev: declare('writev', 'long', ['int', 'pointer', 'int']),
};

/** Memory that the kernel fills or reads. The bytes stay where they are as long as the object lives. */
export interface DeviceBuffer {
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  readonly longs: BigUint64Array;
  readonly address: number;
}

export function createDeviceBuffer(sizeBytes: number): DeviceBuffer {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  return {
    bytes,
    words: new Uint32Array(bytes.buffer, 0, sizeBytes >> 2),
    longs: new BigUint64Array(bytes.buffer, 0, sizeBytes >> 3),
    address: addressOf(bytes),
  };
}

/** @throws PeerfsError ENOENT or ENODEV (no such device), EACCES */
export function openFuseDevice(): number {
  try {
    return openSync(DEVICE, files.O_RDWR);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'EIO';
    const known: readonly ErrorCode[] = ['ENOENT', 'ENODEV', 'ENXIO', 'EACCES', 'EPERM'];
    throw new PeerfsError(known.find((one) => one === code) ?? 'EIO', `${DEVICE} cannot be opened`, { cause });
  }
}

/** @returns the length of the request read, 0 if there is none now, or the negated errno number of a dead device. */
export function readDevice(descriptor: number, buffer: DeviceBuffer): number {
  for (;;) {
    const length = call.read(descriptor, buffer.address, buffer.bytes.length);
    if (length >= 0) return length;
    const number = errno();
    if (number === EAGAIN) return 0;
    // ENOENT: the request was interrupted before it was read; there may be others.
    if (number !== EINTR && number !== ENOENT) return -number;
  }
}

/** @returns bytes, or the negated errno number. */
export function writeDevice(descriptor: number, address: number, length: number): number {
  const written = call.write(descriptor, address, length);
  return written < 0 ? -errno() : written;
}

/** struct iovec: address and length, 64 bits each. */
const MAX_VECTORS = 64;
const vectors = createDeviceBuffer(MAX_VECTORS * 16);

/** Writes a head and the parts of a body as one message. @returns bytes, or the negated errno number. */
export function writeDeviceParts(
  descriptor: number,
  head: number,
  headLength: number,
  parts: readonly Uint8Array[],
): number {
  const { longs } = vectors;
  const whole = parts.length < MAX_VECTORS ? parts : [Buffer.concat(parts)];
  longs[0] = BigInt(head);
  longs[1] = BigInt(headLength);
  let at = 2;
  for (const part of whole) {
    longs[at] = BigInt(addressOf(part));
    longs[at + 1] = BigInt(part.length);
    at += 2;
  }
  const written = call.writev(descriptor, vectors.address, at / 2);
  return written < 0 ? -errno() : written;
}

export interface DeviceWatcher {
  /** The device's descriptor from now on. */
  readonly descriptor: number;
  /** Whether readDevice() may be called between wakes. */
  readonly drainable: boolean;
  /** Closes the device. Idempotent. */
  close(): void;
}

export interface DeviceListener {
  /** The buffer for the next request that wakes us; it is the watcher's until onWake hands it back. */
  nextBuffer(): DeviceBuffer;
  /** The first `length` bytes hold one request; there may be more to read from the device at once. */
  onWake(buffer: DeviceBuffer, length: number): void;
  /** The device is dead. Called once, at most; not after close(). */
  onEnd(code: ErrorCode): void;
}

/**
 * Watches the device; takes over the descriptor (closes it and gives a new one).
 * @throws PeerfsError when the device cannot be put under libuv's epoll
 */
export function watchDevice(device: number, listener: DeviceListener): DeviceWatcher {
  const pair = new Int32Array(2);
  if (call.socketpair(AF_UNIX, SOCK_STREAM | CLOEXEC, 0, new Uint8Array(pair.buffer)) < 0) {
    throw systemError(errno(), 'socketpair');
  }
  const [descriptor, other] = [pair[0] ?? -1, pair[1] ?? -1];
  let armed = listener.nextBuffer();
  let ended = false;
  const end = (code: ErrorCode) => {
    if (ended) return;
    ended = true;
    listener.onEnd(code);
  };
  const onread: OnReadOpts = {
    buffer: () => armed.bytes,
    callback(length) {
      const buffer = armed;
      armed = listener.nextBuffer();
      listener.onWake(buffer, length);
      return !ended;
    },
  };
  // The types know `onread` only for connect(); the constructor is where it belongs for a descriptor that is open.
  const options: SocketConstructorOpts & { onread: OnReadOpts } = {
    fd: descriptor,
    readable: true,
    writable: false,
    onread,
  };
  const socket = new Socket(options);
  const replaced = call.dup3(device, descriptor, CLOEXEC);
  const failure = replaced < 0 ? systemError(errno(), 'dup3') : undefined;
  closeSync(other);
  if (failure !== undefined) {
    socket.destroy();
    throw failure;
  }
  closeSync(device);
  call.fcntl(descriptor, F_SETFL, call.fcntl(descriptor, F_GETFL, 0) | files.O_NONBLOCK);
  socket.on('error', (error) => end('errno' in error ? codeOfErrno(Math.abs(Number(error.errno))) : 'EIO'));
  socket.on('close', () => end('ENODEV'));
  return {
    descriptor,
    drainable: true,
    close() {
      ended = true;
      socket.destroy();
    },
  };
}

/**
 * The same by a thread of libuv's pool that waits in read(2): for where watchDevice() does not work. Slower, and a
 * process that calls process.exit() while mounted hangs until somebody unmounts.
 */
export function watchDeviceByThread(device: number, listener: DeviceListener): DeviceWatcher {
  let ended = false;
  const next = () => {
    const buffer = listener.nextBuffer();
    read(device, buffer.bytes, 0, buffer.bytes.length, null, (error, length) => {
      if (ended) return;
      if (error !== null && !['EINTR', 'ENOENT', 'EAGAIN'].includes(error.code ?? '')) {
        ended = true;
        listener.onEnd(codeOfErrno(Math.abs(error.errno ?? 0)));
        return;
      }
      if (error === null) listener.onWake(buffer, length);
      next();
    });
  };
  next();
  return {
    descriptor: device,
    drainable: false,
    close() {
      if (ended) return;
      ended = true;
      closeSync(device);
    },
  };
}
