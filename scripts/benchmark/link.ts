/** An emulated link between two network namespaces (link-emulator.c), for workloads over the internet. */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';

export interface LinkOptions {
  /** Both ways together, milliseconds. */
  readonly rttMs: number;
  /** Of packets, each way, 0 to 1. */
  readonly loss: number;
  /** 0: none. */
  readonly megabitsPerSecond: number;
}

export type CongestionControl = 'cubic' | 'bbr';

export interface Link {
  /** Addresses of the two ends. */
  readonly addresses: readonly [string, string];
  /** argv prefix that runs a program at that end. */
  enter(end: 0 | 1): readonly string[];
  /** What TCP connections made from now on use, at both ends. */
  useCongestionControl(name: CongestionControl): void;
  close(): void;
}

const ADDRESSES = ['10.78.0.1', '10.78.0.2'] as const;
const DEVICE = 'link0';
const ENDS = [0, 1] as const;
/** Of a common home router: what 100 Mbit/s send in 40 ms; without a rate what a long fast path holds. Bytes. */
const QUEUE_BYTES = { limited: 500_000, unlimited: 8_000_000 } as const;

function ip(...args: string[]): void {
  const done = spawnSync('ip', args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`ip ${args.join(' ')}: ${done.stderr}`);
}

/** Needs root, and the C compiler. @param directory for the emulator's program. */
export async function openLink(directory: string, { rttMs, loss, megabitsPerSecond }: LinkOptions): Promise<Link> {
  const emulator = join(directory, 'link-emulator');
  const source = join(import.meta.dirname, '../../../scripts/benchmark/link-emulator.c');
  const compiled = spawnSync('cc', ['-O2', '-o', emulator, source], { encoding: 'utf8' });
  if (compiled.status !== 0) throw new Error(`cc: ${compiled.stderr}`);
  const prefix = `pf${randomBytes(3).toString('hex')}`;
  const spaces = ENDS.map((end) => `${prefix}-${end}`);
  const close = (): void => {
    child?.kill();
    for (const space of spaces) spawnSync('ip', ['netns', 'delete', space]);
  };
  let child: ReturnType<typeof spawn> | undefined;
  try {
    for (const space of spaces) ip('netns', 'add', space);
    const queue = megabitsPerSecond > 0 ? QUEUE_BYTES.limited : QUEUE_BYTES.unlimited;
    const numbers = [rttMs * 500, Math.round(loss * 1e6), megabitsPerSecond * 1000, queue, 7];
    // Its input is a pipe of ours: it ends with us, whatever happens.
    const emulating = spawn(emulator, [...spaces, DEVICE, ...numbers.map(String)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child = emulating;
    await Promise.race([
      once(emulating.stdout, 'data'),
      once(emulating, 'exit').then(() => Promise.reject(new Error('the link emulator ended'))),
    ]);
    for (const end of ENDS) {
      const space = spaces[end] ?? '';
      ip('-n', space, 'link', 'set', 'lo', 'up');
      ip('-n', space, 'addr', 'add', ADDRESSES[end], 'peer', ADDRESSES[1 - end] ?? '', 'dev', DEVICE);
      ip('-n', space, 'link', 'set', DEVICE, 'up');
    }
  } catch (error) {
    close();
    throw error;
  }
  const link: Link = {
    addresses: ADDRESSES,
    enter: (end) => ['nsenter', `--net=/run/netns/${spaces[end] ?? ''}`, '--'],
    useCongestionControl(name) {
      for (const end of ENDS) {
        const to = ADDRESSES[1 - end] ?? '';
        ip('-n', spaces[end] ?? '', 'route', 'replace', to, 'dev', DEVICE, 'congctl', name);
      }
    },
    close,
  };
  link.useCongestionControl('cubic');
  return link;
}
