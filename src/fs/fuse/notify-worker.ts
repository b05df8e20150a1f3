/**
 * A thread that writes notifications to the device, because the kernel may make the writer wait for requests that the
 * main thread has in hand. Takes batches (notifications one behind the other, each beginning with its length), gives
 * back how each fared.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { codeOfErrno } from '../../sys/errno.ts';
import { createDeviceBuffer, writeDevice } from '../../sys/fuse-device.ts';
import { OUT_HEADER } from './structures.ts';

export interface NotifyWorkerData {
  /** Of the device, the thread's own to write to; closed by who started it. */
  readonly descriptor: number;
  /** Largest batch, bytes. */
  readonly batchBytes: number;
}

export interface BatchResult {
  /** The kernel did it. */
  readonly done: number;
  /** The kernel did not have it. */
  readonly absent: number;
  readonly failed: number;
}

if (parentPort !== null) {
  const port = parentPort;
  const { descriptor, batchBytes } = workerData as NotifyWorkerData;
  const buffer = createDeviceBuffer(batchBytes);
  port.on('message', (batch: Uint8Array) => {
    buffer.bytes.set(batch);
    const result = { done: 0, absent: 0, failed: 0 };
    for (let offset = 0; offset < batch.length;) {
      const length = buffer.bytes.readUInt32LE(offset + OUT_HEADER.at.len);
      const written = writeDevice(descriptor, buffer.address + offset, length);
      if (written >= 0) result.done += 1;
      else if (codeOfErrno(-written) === 'ENOENT') result.absent += 1;
      else result.failed += 1;
      offset += length;
    }
    port.postMessage(result satisfies BatchResult);
  });
}
