/**
 * Receives of a connected socket go to one buffer that is used again and again. Node's own reading makes 64 KiB of new
 * memory for each: on a fast connection the garbage collector then works as much as everything else.
 */
import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net';
import { descriptorOf, duplicateDescriptor } from './descriptor.ts';

/** Tuning, bytes. More in one call than a cache holds gains nothing. */
const BUFFER_BYTES = 256 * 1024;

/** For all sockets: it is filled and looked at within one event. */
let buffer: Buffer | undefined;

/**
 * @param socket connected, paused, nothing of it unsent; not to be used any more.
 * @returns a socket of the same connection, whose `data` events give views that hold only during the event; `socket`
 * itself where that cannot be had.
 */
export function withReceiveBuffer(socket: Socket): Socket {
  const descriptor = descriptorOf(socket);
  if (descriptor === undefined || socket.writableLength > 0) return socket;
  const copy = duplicateDescriptor(descriptor);
  // `onread` is for connections that are made with it: the descriptor's copy is a new one.
  const onread: OnReadOpts = {
    buffer: (buffer ??= Buffer.allocUnsafeSlow(BUFFER_BYTES)),
    callback: (length, filled) => adopted.emit('data', filled.subarray(0, length)),
  };
  // The types know `onread` only for connect().
  const options: SocketConstructorOpts & { onread: OnReadOpts } = { fd: copy, readable: true, writable: true, onread };
  const adopted = new Socket(options);
  socket.destroy();
  return adopted;
}
