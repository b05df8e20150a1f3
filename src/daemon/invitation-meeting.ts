/**
 * How the creator of an invitation and its guest find each other beyond the addresses that it names: both leave signals
 * under its token, and the creator opens its own router's way, since it does not know whom to dial.
 */
import type { Clock, Timer } from '../clock.ts';
import type { Candidates } from '../net/candidates.ts';
import type { Endpoint } from '../net/endpoint.ts';
import type { Rendezvous } from '../net/rendezvous.ts';
import { createSeeker, type Seeker } from '../net/signalling.ts';
import { permitThrough } from '../net/targets.ts';
import type { UdpAddress } from '../net/udp-port.ts';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE, type WireCandidate } from '../wire/candidate.ts';
import type { Onions } from './onions.ts';

/** Datagrams that open our router's way for the guest of an invitation: so many, so far apart. Tuning. */
const PUNCHES = 12;
const PUNCH_EVERY_MS = 250;

export interface InvitationMeetingOptions {
  readonly endpoint: Pick<Endpoint, 'relays' | 'punch'>;
  readonly candidates: Candidates;
  readonly rendezvous: readonly Rendezvous[];
  readonly onions: Onions | undefined;
  readonly clock: Clock;
}

export interface InvitationMeeting {
  /** Makes an invitation of ours known beyond the addresses that it names. */
  invite(token: Uint8Array): { readonly addresses: readonly UdpAddress[]; close(): void };
  /** Looks for the creator of somebody's invitation until it is closed. */
  seekCreator(token: Uint8Array, onCandidates: (candidates: readonly WireCandidate[]) => void): Seeker;
}

export function createInvitationMeeting(options: InvitationMeetingOptions): InvitationMeeting {
  const { endpoint, candidates, rendezvous, onions, clock } = options;
  /** One invitation's guests: those heard of last, so that nobody has us send more by saying more. */
  const openPunching = (): { begin(guests: readonly WireCandidate[]): void; close(): void } => {
    let guests: readonly WireCandidate[] = [];
    let left = 0;
    let timer: Timer | undefined;
    const punch = (): void => {
      timer = undefined;
      if (left === 0) return;
      left -= 1;
      for (const { host, port } of guests) endpoint.punch({ host, port });
      timer = clock.after(PUNCH_EVERY_MS, punch);
    };
    return {
      begin(found) {
        guests = found;
        left = guests.length === 0 ? 0 : PUNCHES;
        if (timer === undefined) punch();
      },
      close() {
        left = 0;
        timer?.cancel();
      },
    };
  };
  return {
    invite(token) {
      const punching = openPunching();
      const service = onions?.invite(token);
      const seeker = createSeeker({
        secret: { secret: token, side: 0 },
        rendezvous,
        candidates,
        clock,
        // Who comes is not known yet, and cannot be dialled; it dials, and our router must let it in.
        onSignal(found) {
          permitThrough(endpoint.relays, found);
          const takesDatagrams = found.filter(({ transports }) => (transports & CANDIDATE_TRANSPORT.udp) !== 0);
          punching.begin(takesDatagrams.filter(({ type }) => type < CANDIDATE_TYPE.relayed));
        },
      });
      seeker.seek();
      // A guest whose network lets nothing out but connections comes by the relay that both use, or not at all.
      for (const relay of endpoint.relays) if (relay.address !== undefined) relay.permit(relay.address.host);
      const reachable = candidates.list.filter(({ type }) => type !== CANDIDATE_TYPE.onion);
      const named = [...reachable, ...(service === undefined ? [] : [service])];
      return {
        addresses: named.map(({ host, port }) => ({ host, port })),
        close() {
          seeker.close();
          punching.close();
          service?.close();
        },
      };
    },
    seekCreator(token, onCandidates) {
      const seeker = createSeeker({
        secret: { secret: token, side: 1 },
        rendezvous,
        candidates,
        clock,
        onSignal: (found) => onCandidates(found),
      });
      seeker.seek();
      return seeker;
    },
  };
}
