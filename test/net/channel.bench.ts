/** Calls a second over two channels in one process, with no network and no sealing. Not part of the gate. */
import { systemClock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { createPeerChannel } from '../../src/net/peer-channel.ts';
import type { Path, PathEvents } from '../../src/net/path.ts';
import { handlersOf } from './channel-pair.ts';

/** Hands frames to the other end in the next turn of the event loop. */
class DirectPath implements Path {
  readonly kind = 'tcp';
  readonly remote = 'here:1';
  readonly statistics = {
    rttMs: 0,
    bytesSent: 0,
    bytesReceived: 0,
    datagramsSent: 0,
    retransmissions: 0,
    get lastHeardAt() {
      return systemClock.now();
    },
  };
  other: DirectPath | undefined;
  #events: PathEvents | undefined;
  #frames: [0 | 1, Buffer][] = [];

  start(events: PathEvents): void {
    this.#events = events;
    this.#deliver();
  }

  send(lane: 0 | 1, pieces: readonly Uint8Array[]): boolean {
    const { other } = this;
    if (other === undefined) return true;
    if (other.#frames.length === 0) setImmediate(() => other.#deliver());
    other.#frames.push([lane, Buffer.concat(pieces)]);
    return true;
  }

  #deliver(): void {
    const events = this.#events;
    if (events === undefined) return;
    for (const [lane, frame] of this.#frames.splice(0)) events.frame(lane, frame);
  }

  probe(): void {
    // The other end is always there.
  }

  close(): void {
    // Nothing to give back.
  }
}

const [client, server] = [1, 2].map((boot) =>
  createPeerChannel({
    peerId: `peer ${boot}`,
    bootId: Buffer.alloc(16, boot),
    name: `node ${boot}`,
    clock: systemClock,
    log: silentLogger,
  }),
);
if (client === undefined || server === undefined) throw new Error('two ends');
const payload = Buffer.alloc(4096, 7);
client.serve(handlersOf({}), {});
server.serve(
  handlersOf({
    seek: async ({ offset }) => ({ reply: { offset } }),
    read: async () => ({ reply: { change: 1 }, payload }),
  }),
  {},
);
const ends = [new DirectPath(), new DirectPath()] as const;
ends[0].other = ends[1];
ends[1].other = ends[0];
client.attach(ends[0], 0);
server.attach(ends[1], 0);

async function bench(name: string, count: number, atOnce: number, call: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(`${name.padEnd(32)}${(count / seconds).toFixed(0).padStart(10)} calls/s\n`);
}

const seek = () => client.call('seek', { handle: 1, offset: 7, whence: 0 });
const read = () => client.call('read', { handle: 1, offset: 0, length: 4096 });
await bench('warming up', 5000, 16, seek);
await bench('seek, one at a time', 20_000, 1, seek);
await bench('seek, 64 at once', 100_000, 64, seek);
await bench('read of 4 KiB, 64 at once', 100_000, 64, read);
process.exit(0);
