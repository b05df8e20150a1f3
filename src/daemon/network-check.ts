/**
 * What `peerfs doctor --network` finds: each way to find and reach peers is tried, and said in plain words what works,
 * what does not and what would help. Owns the words; the trying is done by the parts themselves.
 */
import type { Clock } from '../clock.ts';
import type { CommonPeers } from '../net/common-peers.ts';
import type { PortMapping } from '../net/port-mapping.ts';
import type { ReflexiveWatch } from '../net/stun-servers.ts';
import type { Config } from './config.ts';
import type { NetworkFinding, NetworkStatus } from './control-protocol.ts';
import type { Discovery } from './discovery.ts';

/** What is still starting has so long to get there. Tuning, milliseconds. */
const PATIENCE_MS = 10_000;
const LOOK_EVERY_MS = 250;

/** What is asked of Reach. */
export interface CheckedReach {
  readonly commonPeers: Pick<CommonPeers, 'helping'>;
  /** Whether there is one. */
  readonly dht: object | undefined;
  readonly mapping: Pick<PortMapping, 'check' | 'status'> | undefined;
  readonly stun: Pick<ReflexiveWatch, 'networkChanged'> | undefined;
  status(): NetworkStatus;
}

export interface NetworkCheckOptions {
  readonly reach: CheckedReach;
  readonly config: Pick<Config, 'lan' | 'turn.servers'>;
  readonly discovery: Pick<Discovery, 'counters'> | undefined;
  /** Each finding as soon as it is there. */
  readonly tell: (finding: NetworkFinding) => void;
  readonly clock: Clock;
}

/** @returns all that it told. Takes up to a minute where nothing answers. */
export async function checkNetwork(options: NetworkCheckOptions): Promise<NetworkFinding[]> {
  const { reach, config, discovery, tell, clock } = options;
  const found: NetworkFinding[] = [];
  const say = (way: string, works: boolean | null, detail: string, advice = ''): void => {
    const finding = { way, works, detail, advice };
    found.push(finding);
    tell(finding);
  };
  const until = (isDecided: (status: NetworkStatus) => boolean): Promise<NetworkStatus> => {
    const deadline = clock.now() + PATIENCE_MS;
    return new Promise((resolve) => {
      const look = (): void => {
        const status = reach.status();
        if (isDecided(status) || clock.now() >= deadline) resolve(status);
        else clock.after(LOOK_EVERY_MS, look);
      };
      look();
    });
  };

  const { candidates } = reach.status();
  const own = candidates.filter(({ type }) => type === 'host').map(({ address }) => address);
  const hasOwn = own.some((address) => !address.startsWith('127.'));
  say(
    'This computer',
    hasOwn,
    hasOwn ? `has the addresses ${own.join(', ')}` : 'has no address but its own loopback',
    hasOwn ? '' : 'Connect it to a network.',
  );
  sayLan(config, discovery, say);

  reach.stun?.networkChanged();
  const asked = await until(({ stun }) => stun.length === 0 || stun.some(({ seen }) => seen !== null));
  sayStun(asked, say);
  sayNat(asked, say);

  if (reach.mapping === undefined) say('Port mapping', null, 'is turned off', 'peerfs config set portMapping true');
  else {
    await reach.mapping.check();
    const { by, external } = reach.status().portMapping;
    if (external !== null) say('Port mapping', true, `the router opened ${external} (${by})`);
    else {
      const fault = reach.mapping.status.fault ?? 'no router here opens ports (PCP, NAT-PMP, UPnP)';
      say('Port mapping', false, fault, 'Turn on UPnP or NAT-PMP in the router, or forward the port yourself.');
    }
  }

  if (reach.dht === undefined) say('DHT', null, 'is turned off', 'peerfs config set dht on');
  else {
    const { dht } = await until((status) => status.dht.state === 'ready');
    if (dht.state === 'ready') say('DHT', true, `${dht.nodes} nodes answer`);
    else
      say('DHT', false, 'no node answers', 'UDP may be blocked here; or name others: peerfs config set dht.bootstrap.');
  }

  if (config['turn.servers'].length === 0) {
    say(
      'TURN',
      null,
      'no server is configured',
      'Where two routers cannot be crossed, one helps: peerfs config set turn.servers.',
    );
  }
  const relays = await until(({ turn }) => turn.every(({ relayed, fault }) => relayed !== null || fault !== null));
  for (const { server, relayed, fault } of relays.turn) {
    if (relayed !== null) say('TURN', true, `${server} relays for us at ${relayed}`);
    else
      say(
        'TURN',
        false,
        `${server}: ${fault ?? 'does not answer'}`,
        'Check its address, user name and credential file.',
      );
  }

  const { tor } = await until((status) => status.tor.state === 'ready' || status.tor.state === 'off');
  if (tor.state === 'off') say('Tor', null, 'is turned off', 'peerfs config set tor auto');
  else if (tor.state === 'ready') say('Tor', true, 'is connected: peers can always be reached, slowly');
  else if (tor.state === 'starting')
    say('Tor', null, `is still starting, ${tor.progress} %: ${tor.detail}`, 'Ask again in a minute.');
  else say('Tor', false, tor.detail, 'Install tor, or name it with --tor; where Tor is blocked, --tor-bridge.');

  const { helping } = reach.commonPeers;
  if (helping > 0) say('Peers in common', true, `${helping} peers who are online can carry signals to others`);
  else say('Peers in common', null, 'no peer is online that could carry signals to others');
  return found;
}

type Say = (way: string, works: boolean | null, detail: string, advice?: string) => void;

function sayLan(config: Pick<Config, 'lan'>, discovery: Pick<Discovery, 'counters'> | undefined, say: Say): void {
  if (!config.lan) say('Local network', null, 'peers are not looked for there', 'peerfs config set lan true');
  else if (discovery === undefined) {
    say(
      'Local network',
      false,
      'the port for hellos cannot be opened',
      'Another program may have it, or multicast is not allowed.',
    );
  } else {
    const { hellosSent, hellosOpened } = discovery.counters;
    const isQuiet = hellosSent === 0;
    const detail = isQuiet
      ? 'no hello sent yet, for want of peers'
      : `${hellosSent} hellos sent, ${hellosOpened} of peers heard`;
    say('Local network', isQuiet ? null : true, detail);
  }
}

function sayStun({ stun }: NetworkStatus, say: Say): void {
  if (stun.length === 0) say('STUN', null, 'no server is configured', 'peerfs config set stun.servers');
  for (const { server, seen } of stun) {
    if (seen !== null) say('STUN', true, `${server} sees this node at ${seen}`);
    else
      say('STUN', false, `${server} does not answer`, 'UDP may be blocked here, or the server is down: name another.');
  }
}

function sayNat({ nat }: NetworkStatus, say: Say): void {
  switch (nat) {
    case 'none':
      return say('Router', true, 'none is between this computer and the internet: peers can connect directly');
    case 'cone':
      return say('Router', true, 'it keeps one port for all destinations: direct connections can be made');
    case 'symmetric':
      return say(
        'Router',
        false,
        'it takes another port for each destination: direct connections work only to peers without such a router',
        'Turn on UPnP or NAT-PMP in the router, or configure a TURN server.',
      );
    case 'blocked':
      return say(
        'Router',
        false,
        'no datagram comes back: UDP is blocked here',
        'TURN over TCP, or Tor, gets through.',
      );
    default:
      return say('Router', null, 'what it does is not known: nobody outside told how it sees this node');
  }
}
