/**
 * This computer's own addresses, as candidates: looked at now and again, since it may be carried elsewhere or sleep.
 * Owns when; which addresses there are is src/net/local-addresses.ts.
 */
import type { Clock } from '../clock.ts';
import type { Candidates } from '../net/candidates.ts';
import { localAddresses, type Interfaces } from '../net/local-addresses.ts';
import type { UdpAddress } from '../net/udp-port.ts';
import { CANDIDATE_TYPE } from '../wire/candidate.ts';

/** The addresses are looked at this often. Tuning, milliseconds. */
const LOOK_EVERY_MS = 2000;
/** A look that comes so much later than it should: the computer slept, and may be elsewhere now. */
const SLEPT_MS = 15_000;

export interface OwnAddressesOptions {
  readonly candidates: Candidates;
  /** Where the node listens. */
  readonly listening: UdpAddress;
  /** CANDIDATE_TRANSPORT of what listens there. */
  readonly transports: number;
  readonly clock: Clock;
  /** They are others than before, or the computer slept. */
  readonly onChange: (slept: boolean) => void;
  /** The system's, but in tests. */
  readonly interfaces?: () => Interfaces;
}

export interface OwnAddresses {
  /** Numeric. */
  readonly hosts: readonly string[];
  /** Idempotent. */
  close(): void;
}

export function watchOwnAddresses(options: OwnAddressesOptions): OwnAddresses {
  const { candidates, listening, transports, clock, onChange } = options;
  let hosts: readonly string[] = [];
  const look = (): void => {
    hosts = read();
    // Without a network two nodes on one computer can still meet.
    candidates.set(
      'local',
      (hosts.length > 0 ? hosts : ['127.0.0.1']).map((host) => ({
        type: CANDIDATE_TYPE.host,
        transports,
        host,
        port: listening.port,
      })),
    );
  };
  const read = (): readonly string[] => {
    try {
      return localAddresses(listening.host, options.interfaces?.()).map(({ host }) => host);
    } catch {
      // The system has no descriptor free for the question, say; this may be a timer's call.
      return hosts;
    }
  };
  look();
  let lookedAt = clock.wallMs();
  const timer = setInterval(() => {
    const now = clock.wallMs();
    const slept = now - lookedAt > LOOK_EVERY_MS + SLEPT_MS;
    lookedAt = now;
    const before = hosts.join();
    look();
    if (slept || before !== hosts.join()) onChange(slept);
  }, LOOK_EVERY_MS).unref();
  return {
    get hosts() {
      return hosts;
    },
    close: () => clearInterval(timer),
  };
}
