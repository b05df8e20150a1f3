/**
 * How others see us: votes about our address outside, counted by the voter's network and by time. Pure. Votes come from
 * whoever answered something we had asked (DHT nodes, STUN servers, peers); one network has one vote, its newest, so that
 * nobody gains by having many addresses there.
 *
 * A router that gives every destination a port of its own shows as votes for several ports at the same time; a router that
 * forgot our port shows as votes for one port up to a moment and for another after it.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { sameAddress, type UdpAddress } from './udp-port.ts';

/** Tuning. */
const MAX_NETWORKS = 64;
/** A vote counts this long. Milliseconds. */
const VOTE_MS = 15 * 60_000;
/** Single votes for different ports that are farther apart than this may be a change in between. Milliseconds. */
const TOGETHER_MS = 30_000;

export interface ExternalAddress {
  readonly host: string;
  /** The newest seen; where ports differ it says little. */
  readonly port: number;
  /** Networks whose newest vote is for `host`, and within this time for `host` and `port`. */
  readonly hostVotes: number;
  readonly portVotes: number;
  /** Whether different destinations see different ports (RFC 4787: not endpoint-independent); undefined: not known. */
  readonly portsDiffer: boolean | undefined;
}

interface Vote {
  readonly network: string;
  readonly seen: UdpAddress;
  readonly at: number;
}

/** IPv4 /24, IPv6 /48: who has one address there may have all. */
function networkOf(host: string): string {
  if (isIPv4(host)) return host.slice(0, host.lastIndexOf('.'));
  return isIPv6(host) ? firstGroups(host) : host;
}

function firstGroups(host: string): string {
  const [head = ''] = host.split('::');
  const groups = [...head.split(':').filter((group) => group !== ''), '0', '0', '0'];
  return groups
    .slice(0, 3)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}

export class AddressVotes {
  /** By network, oldest vote first. */
  readonly #votes = new Map<string, Vote>();

  /** @param now monotonic milliseconds. */
  vote(voter: UdpAddress, seen: UdpAddress, now: number): void {
    const network = networkOf(voter.host);
    this.#votes.delete(network);
    this.#votes.set(network, { network, seen: { ...seen }, at: now });
    const [oldest] = this.#votes.keys();
    if (this.#votes.size > MAX_NETWORKS && oldest !== undefined) this.#votes.delete(oldest);
  }

  /** The network has changed: what was seen before says nothing now. */
  forget(): void {
    this.#votes.clear();
  }

  /** The address that most networks see now; undefined without votes. @param family 4 or 6: of that alone. */
  current(now: number, family: 4 | 6 = 4): ExternalAddress | undefined {
    const votes = [...this.#votes.values()].filter(
      ({ seen, at }) => now - at <= VOTE_MS && isIPv6(seen.host) === (family === 6),
    );
    const host = mostVoted(votes, ({ seen }) => seen.host);
    if (host === undefined) return undefined;
    const own = votes.filter(({ seen }) => seen.host === host);
    const since = own.slice(startOfLast(own));
    const port = mostVoted(since, ({ seen }) => String(seen.port));
    const address = { host, port: Number(port) };
    return {
      ...address,
      hostVotes: own.length,
      portVotes: since.filter(({ seen }) => sameAddress(seen, address)).length,
      portsDiffer: portsDiffer(since),
    };
  }
}

/** The key with the most votes, among equals the one with the newest. */
function mostVoted(votes: readonly Vote[], keyOf: (vote: Vote) => string): string | undefined {
  const counts = new Map<string, number>();
  for (const vote of votes) counts.set(keyOf(vote), (counts.get(keyOf(vote)) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return votes
    .map(keyOf)
    .filter((key) => counts.get(key) === most)
    .at(-1);
}

/**
 * Where the votes since the last change of port begin, in votes from old to new: at the first vote for the newest port, if
 * two networks agree on it and no vote since is for another.
 */
function startOfLast(votes: readonly Vote[]): number {
  const newest = votes.at(-1)?.seen.port;
  const last = votes.findLastIndex(({ seen }) => seen.port !== newest) + 1;
  const agreed = votes.length - last >= 2;
  const returned = votes.slice(0, last).some(({ seen }) => seen.port === newest);
  return agreed && !returned ? last : 0;
}

function portsDiffer(votes: readonly Vote[]): boolean | undefined {
  if (votes.length < 2) return undefined;
  const byPort = new Map<number, number>();
  for (const { seen } of votes) byPort.set(seen.port, (byPort.get(seen.port) ?? 0) + 1);
  if (byPort.size === 1) return false;
  const largest = Math.max(...byPort.values());
  // One that lies or is mistaken changes nothing where most agree.
  if (largest >= 3 && largest > votes.length * 0.75) return false;
  const [last, before] = [votes.at(-1), votes.at(-2)];
  if (votes.length === 2 && last !== undefined && before !== undefined && last.at - before.at > TOGETHER_MS) {
    return undefined;
  }
  return true;
}
