/** The relays that the user named: opened by the endpoint's UDP port, and the candidates that come of them. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Candidates } from '../net/candidates.ts';
import type { Endpoint } from '../net/endpoint.ts';
import type { Relay } from '../net/relay.ts';
import { openRelay } from '../net/turn.ts';
import { parseTurnUrl } from '../net/turn-url.ts';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE } from '../wire/candidate.ts';
import { resolveHost } from './resolve-host.ts';
import type { TurnServerSetting } from './setting-values.ts';
import { readTurnServers } from './turn-servers.ts';

export interface OwnRelaysOptions {
  readonly endpoint: Endpoint;
  readonly candidates: Candidates;
  /** As the setting turn.servers has them. */
  readonly servers: readonly TurnServerSetting[];
  readonly clock: Clock;
  readonly log: Logger;
  /** One is ready or was lost, in words. */
  readonly onChange: (text: string) => void;
}

/** None where nothing is relayed. They end with their endpoint's port, but are closed by the caller. */
export function openOwnRelays({ endpoint, candidates, servers, clock, log, onChange }: OwnRelaysOptions): Relay[] {
  const { sharedPort } = endpoint;
  if (sharedPort === undefined || !endpoint.paths.includes('turn')) return [];
  const tell = (): void => {
    const found = endpoint.relays.flatMap(({ address }) => address ?? []);
    candidates.set(
      'relayed',
      found.map((at) => ({ type: CANDIDATE_TYPE.relayed, transports: CANDIDATE_TRANSPORT.udp, ...at })),
    );
  };
  return readTurnServers(servers).map(({ url, username, password }) => {
    const server = { ...parseTurnUrl(url), username, password };
    const relay = openRelay({ server, port: sharedPort, resolve: resolveHost, clock, randomBytes, log });
    relay.onChange(() => {
      tell();
      onChange(relay.address === undefined ? `${url}: ${relay.fault ?? 'lost'}` : `${url}: ready`);
    });
    endpoint.admitRelay(relay);
    return relay;
  });
}
