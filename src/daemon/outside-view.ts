/**
 * How others see this node's port: what STUN servers answered and what peers and DHT nodes said, the candidates that
 * come of it, and what it tells of the router.
 */
import type { Clock } from '../clock.ts';
import { AddressVotes } from '../net/address-votes.ts';
import type { Candidates } from '../net/candidates.ts';
import type { UdpAddress } from '../net/udp-port.ts';
import { CANDIDATE_TYPE } from '../wire/candidate.ts';
import type { NetworkStatus } from './control-protocol.ts';

export interface OutsideViewOptions {
  readonly candidates: Candidates;
  /** CANDIDATE_TRANSPORT of what such an address can be reached by; 0 for nothing. */
  readonly transports: number;
  readonly clock: Pick<Clock, 'now'>;
}

export interface OutsideView {
  /** A STUN server answered; undefined: it did not. */
  answered(server: string, seen: UdpAddress | undefined): void;
  /** Somebody who need not be honest says how it sees this node. */
  vote(voter: UdpAddress, seen: UdpAddress): void;
  /** What a STUN server saw last. */
  seenBy(server: string): UdpAddress | undefined;
  /** Of another network nothing holds of what was seen. */
  forget(): void;
  /**
   * What the router does.
   * @param hosts this computer's own addresses.
   * @param isHeard whether anybody outside answers datagrams.
   */
  natKind(hosts: readonly string[], isHeard: boolean): NetworkStatus['nat'];
}

export function createOutsideView({ candidates, transports, clock }: OutsideViewOptions): OutsideView {
  const votes = new AddressVotes();
  const answers = new Map<string, UdpAddress | undefined>();
  const seen = (): UdpAddress[] => [...answers.values()].flatMap((address) => address ?? []);
  const tell = (): void => {
    const voted = ([4, 6] as const).flatMap((family) => votes.current(clock.now(), family) ?? []);
    candidates.set(
      'reflexive',
      [...seen(), ...voted].map(({ host, port }) => ({ type: CANDIDATE_TYPE.reflexive, transports, host, port })),
    );
  };
  return {
    answered(server, address) {
      answers.set(server, address);
      tell();
    },
    vote(voter, address) {
      votes.vote(voter, address, clock.now());
      tell();
    },
    seenBy: (server) => answers.get(server),
    forget() {
      votes.forget();
      answers.clear();
      tell();
    },
    natKind(hosts, isHeard) {
      const voted = votes.current(clock.now());
      const external = [...seen(), ...(voted === undefined ? [] : [voted])];
      if (external.some(({ host }) => hosts.includes(host))) return 'none';
      const v4 = seen().filter(({ host }) => !host.includes(':'));
      const differ = new Set(v4.map(({ host, port }) => `${host} ${port}`)).size > 1;
      if (differ || voted?.portsDiffer === true) return 'symmetric';
      if (v4.length > 1 || voted?.portsDiffer === false) return 'cone';
      return external.length === 0 && answers.size > 0 && !isHeard ? 'blocked' : 'unknown';
    },
  };
}
