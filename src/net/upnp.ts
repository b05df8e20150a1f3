/**
 * Asks a router for ports by UPnP (WANIPConnection, WANPPPConnection). Owns the search, whom to believe, and the calls;
 * the texts are src/wire/upnp.ts, renewal is port-mapping.ts.
 *
 * Anybody in the network can answer a search and so have us send requests. Believed is only the gateway or a private
 * address, and each only about itself: requests go to no other host than the one that answered, redirections are not
 * followed, and what is read is bounded in size and time.
 */
import { isIPv4 } from 'node:net';
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import {
  decodeAnswer,
  decodeDescription,
  decodeFault,
  encodeCall,
  UPNP_ERROR,
  type UpnpService,
} from '../wire/upnp.ts';
import type { Gateway } from './gateway.ts';
import type { Mapped, MappingRequest, PortMapper } from './port-mapper.ts';
import type { UpnpNetwork } from './upnp-network.ts';

/** Tuning. */
const SEARCH_MS = 2000;
const MAX_ANSWERS = 8;
const MAX_SERVICES = 4;
const LEASE_SECONDS = 3600;
const CHECK_MS = 300_000;
/** Other external ports that are tried when ours is somebody else's. */
const OTHER_PORTS = 4;
const FIRST_OTHER_PORT = 20_000;
const OTHER_PORT_RANGE = 40_000;
const MAX_PORT = 65_535;

export interface UpnpOptions {
  readonly place: Gateway;
  readonly network: UpnpNetwork;
  readonly clock: Clock;
  /** From 0 to below 1. */
  readonly random: () => number;
}

interface ControlPoint {
  readonly type: UpnpService['type'];
  readonly url: URL;
}

class UpnpFault extends PeerfsError {
  readonly upnpCode: number | undefined;

  constructor(upnpCode: number | undefined) {
    const words =
      upnpCode === UPNP_ERROR.notAuthorized
        ? 'the router does not allow it'
        : upnpCode === UPNP_ERROR.conflict || upnpCode === UPNP_ERROR.conflictsWithOther
          ? 'the router has the port in use'
          : 'the router refuses';
    super('EACCES', `${words} (UPnP, ${upnpCode === undefined ? 'without a reason' : `error ${upnpCode}`})`);
    this.upnpCode = upnpCode;
  }
}

/** The address, if it is plain HTTP at that host. */
export function urlAt(host: string, text: string, base?: URL): URL | undefined {
  if (!URL.canParse(text, base?.href)) return undefined;
  const url = new URL(text, base);
  const isPlain = url.protocol === 'http:' && url.username === '' && url.password === '';
  return isPlain && url.hostname === host ? url : undefined;
}

/** Where the services of a description are controlled, of those that stand at this host. */
export function controlPointsOf(host: string, location: URL, xml: string): ControlPoint[] {
  const { base, services } = decodeDescription(xml);
  const from = (base === undefined ? undefined : urlAt(host, base)) ?? location;
  return services.flatMap(({ type, controlUrl }) => {
    const url = urlAt(host, controlUrl, from);
    return url === undefined ? [] : [{ type, url }];
  });
}

/** Asks nobody until it is told to. */
export function openUpnp({ place, network, clock, random }: UpnpOptions): PortMapper {
  let found: Promise<readonly ControlPoint[]> | undefined;
  /** The one that mapped. */
  let chosen: ControlPoint | undefined;
  let closed = false;
  const searches = new Set<() => void>();

  function search(): Promise<{ readonly host: string; readonly location: URL }[]> {
    return new Promise((resolve) => {
      const answers = new Map<string, { readonly host: string; readonly location: URL }>();
      let timer: Timer | undefined;
      let stop = (): void => undefined;
      const end = (): void => {
        if (!searches.delete(end)) return;
        timer?.cancel();
        stop();
        const isGateway = ({ host }: { readonly host: string }): number => (host === place.gateway ? 0 : 1);
        resolve([...answers.values()].sort((a, b) => isGateway(a) - isGateway(b)));
      };
      searches.add(end);
      stop = network.search(place, (host, location) => {
        const url = urlAt(host, location);
        if (url === undefined || answers.size >= MAX_ANSWERS || answers.has(host)) return;
        answers.set(host, { host, location: url });
        // It is the one that is wanted: no more is waited for others.
        if (host === place.gateway) end();
      });
      if (searches.has(end)) timer = clock.after(SEARCH_MS, end);
      else stop();
    });
  }

  async function find(): Promise<readonly ControlPoint[]> {
    const answers = await search();
    const points: ControlPoint[] = [];
    for (const { host, location } of answers) {
      if (closed || points.length >= MAX_SERVICES) break;
      const xml = await network.get(location, place.local).catch(() => '');
      points.push(...controlPointsOf(host, location, xml));
    }
    return points.slice(0, MAX_SERVICES);
  }

  /** What was found before, unless that was nothing. */
  async function controlPoints(): Promise<readonly ControlPoint[]> {
    if (closed) throw new PeerfsError('CANCELLED');
    found ??= find();
    const points = await found;
    if (points.length > 0) return points;
    found = undefined;
    throw new PeerfsError('ETIMEDOUT', 'no router answers UPnP');
  }

  async function call(
    { type, url }: ControlPoint,
    action: string,
    values: Readonly<Record<string, string | number>>,
  ): Promise<string> {
    if (closed) throw new PeerfsError('CANCELLED');
    const answer = await network.post(url, place.local, `"${type}#${action}"`, encodeCall(type, action, values));
    if (!answer.ok) throw new UpnpFault(decodeFault(answer.text));
    return answer.text;
  }

  async function externalHost(point: ControlPoint): Promise<string> {
    const host = decodeAnswer(await call(point, 'GetExternalIPAddress', {}), 'NewExternalIPAddress');
    if (host === undefined || !isIPv4(host) || host === '0.0.0.0') {
      throw new PeerfsError('EACCES', 'the router has no address on the internet itself (UPnP)');
    }
    return host;
  }

  async function add(point: ControlPoint, request: MappingRequest, externalPort: number, lease: number): Promise<void> {
    await call(point, 'AddPortMapping', {
      NewRemoteHost: '',
      NewExternalPort: externalPort,
      NewProtocol: request.protocol.toUpperCase(),
      NewInternalPort: request.internalPort,
      NewInternalClient: place.local,
      NewEnabled: 1,
      NewPortMappingDescription: 'peerfs',
      NewLeaseDuration: lease,
    });
  }

  async function mapAt(point: ControlPoint, request: MappingRequest): Promise<Mapped> {
    const host = await externalHost(point);
    let externalPort = request.externalPort;
    let lease = LEASE_SECONDS;
    for (let others = 0; ;) {
      try {
        await add(point, request, externalPort, lease);
        chosen = point;
        const { protocol, internalPort } = request;
        const lifetimeMs = lease === 0 ? Infinity : 1000 * lease;
        return { by: 'upnp', protocol, internalPort, external: { host, port: externalPort }, lifetimeMs };
      } catch (error) {
        const code = error instanceof UpnpFault ? error.upnpCode : undefined;
        const isLease = code === UPNP_ERROR.onlyPermanentLeases || code === UPNP_ERROR.invalidArgs;
        const isTaken = code === UPNP_ERROR.conflict || code === UPNP_ERROR.conflictsWithOther;
        if (isLease && lease !== 0) lease = 0;
        else if (isTaken && others < OTHER_PORTS) {
          others += 1;
          externalPort = Math.min(MAX_PORT, FIRST_OTHER_PORT + Math.floor(random() * OTHER_PORT_RANGE));
        } else if (code === UPNP_ERROR.samePortRequired && externalPort !== request.internalPort) {
          externalPort = request.internalPort;
          others = OTHER_PORTS;
        } else throw error;
      }
    }
  }

  async function map(request: MappingRequest): Promise<Mapped> {
    if (chosen !== undefined) {
      try {
        return await mapAt(chosen, request);
      } catch {
        // It may have moved to another port, as after the router's restart: look for it anew.
        chosen = undefined;
        found = undefined;
      }
    }
    let first: unknown;
    for (const point of await controlPoints()) {
      try {
        return await mapAt(point, request);
      } catch (error) {
        first ??= error;
      }
    }
    found = undefined;
    throw first;
  }

  return {
    checkMs: CHECK_MS,
    async prepare() {
      await controlPoints().catch(() => undefined);
    },
    map,

    async holds({ protocol, external }) {
      if (chosen === undefined) return false;
      if ((await externalHost(chosen)) !== external.host) return false;
      try {
        const entry = await call(chosen, 'GetSpecificPortMappingEntry', {
          NewRemoteHost: '',
          NewExternalPort: external.port,
          NewProtocol: protocol.toUpperCase(),
        });
        return decodeAnswer(entry, 'NewInternalClient') === place.local;
      } catch (error) {
        if (error instanceof UpnpFault) return false;
        throw error;
      }
    },

    async unmap({ protocol, external }) {
      if (chosen === undefined) return;
      await call(chosen, 'DeletePortMapping', {
        NewRemoteHost: '',
        NewExternalPort: external.port,
        NewProtocol: protocol.toUpperCase(),
      });
    },

    async probe() {
      try {
        const [point] = await controlPoints();
        const detail = point === undefined ? '' : `the router's own address is ${await externalHost(point)}`;
        return [{ by: 'upnp', works: true, detail }];
      } catch (error) {
        const isAnswer = error instanceof PeerfsError && error.code === 'EACCES';
        return [{ by: 'upnp', works: false, detail: isAnswer ? error.message : 'no answer' }];
      }
    },

    close() {
      if (closed) return;
      closed = true;
      for (const end of [...searches]) end();
      network.close();
    },
  };
}
