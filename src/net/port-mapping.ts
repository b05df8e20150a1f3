/**
 * Port mapping: has the router open the node's port to the internet, and keep it open, without the user. Owns who is
 * asked and when again; how is pcp.ts and upnp.ts.
 *
 * Both ways are prepared at the same time, and UPnP asks for the port only when PCP (or NAT-PMP) got none: on a router
 * that speaks both they would take each other's mapping away.
 *
 *     searching ---a port---> mapped ---renewed, checked---> mapped
 *      |     ^                   \--- forgotten, lost, another network ---> searching
 *      \ none, wait 30 s .. 15 min /
 */
import { randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { PCP_PORT, type MappedProtocol } from '../wire/pcp.ts';
import { isLocalAddress } from './address-rules.ts';
import { defaultGateway, type Gateway } from './gateway.ts';
import { openPcp } from './pcp.ts';
import type { Mapped, MappingAnswer, MappingProtocol, PortMapper } from './port-mapper.ts';
import { openRouterSocket } from './router-socket.ts';
import type { UdpAddress } from './udp-port.ts';
import { openUpnp } from './upnp.ts';
import { createUpnpNetwork } from './upnp-network.ts';

/** Tuning. */
const FIRST_RETRY_MS = 30_000;
const MAX_RETRY_MS = 900_000;
/** A retry comes up to this share later, so that a household's nodes do not ask all at once. */
const RETRY_SPREAD = 0.2;
/** A mapping without an end is renewed like one of an hour: the router may have been reset. */
const PERMANENT_MS = 3_600_000;
/** How often another external port is tried, for datagrams and connections to have the same. */
const COMMON_PORT_TRIES = 3;
const FIRST_OTHER_PORT = 20_000;
const OTHER_PORT_RANGE = 40_000;
const CLOSE_MS = 1000;
const SECRET_BYTES = 32;

export interface PortMappingStatus {
  readonly by: MappingProtocol | undefined;
  /** Where the internet reaches the port; undefined when it does not. */
  readonly external: UdpAddress | undefined;
  /** What is led there. */
  readonly protocols: readonly MappedProtocol[];
  /** In plain words, why the port is not reachable so. */
  readonly fault: string | undefined;
}

export interface PortMapping {
  /** A new object whenever something changes. */
  readonly status: PortMappingStatus;
  /** Addresses or routes are others: looks for the router anew if it is another one, and checks the mapping if not. */
  networkChanged(): void;
  /**
   * For the doctor: tries at once for a port if there is none, then asks by each protocol what the router can do.
   * Never rejects.
   */
  check(): Promise<readonly MappingAnswer[]>;
  /** Takes the mapping down, as far as that goes within a second. Idempotent. */
  close(): Promise<void>;
}

export interface PortMappingOptions {
  /** Of this computer, and the one preferred at the router. */
  readonly port: number;
  /** With both, one external port leads to both, or only datagrams are mapped. */
  readonly protocols: readonly MappedProtocol[];
  readonly clock: Clock;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly log: Logger;
  /** Never called before openPortMapping has returned. */
  readonly onChange: () => void;
  readonly gateway?: () => Gateway | undefined;
  /** Makes a restarted node the owner of the mappings of before; none: each start is another owner. */
  readonly secret?: Uint8Array;
  /** For tests: the ways to ask, the preferred first. */
  readonly openMappers?: (place: Gateway) => readonly PortMapper[];
}

interface Router {
  readonly place: Gateway;
  readonly mappers: readonly PortMapper[];
}

interface Held {
  readonly mapper: PortMapper;
  /** Not empty; all with the same external address. */
  readonly mappings: readonly Mapped[];
  readonly expiresAt: number;
}

const NO_STATUS: PortMappingStatus = { by: undefined, external: undefined, protocols: [], fault: undefined };

/** Begins to ask at once and without waiting. */
export function openPortMapping(options: PortMappingOptions): PortMapping {
  const { port, protocols, clock, random, log, onChange } = options;
  const findGateway = options.gateway ?? defaultGateway;
  const secret = options.secret ?? randomBytes(SECRET_BYTES);
  const openMappers =
    options.openMappers ??
    ((place: Gateway): readonly PortMapper[] => [
      openPcp({ place, secret, clock, openSocket: (at, events) => openRouterSocket(at, PCP_PORT, events) }),
      openUpnp({ place, clock, random, network: createUpnpNetwork(clock) }),
    ]);

  let status = NO_STATUS;
  let router: Router | undefined;
  let held: Held | undefined;
  let retryMs = FIRST_RETRY_MS;
  const timers: { next?: Timer; check?: Timer } = {};
  /** The attempt or check that is under way. */
  let working: Promise<void> | undefined;
  /** What is under way began before the network changed. */
  let isStale = false;
  let closing: Promise<void> | undefined;

  function tell(next: PortMappingStatus): void {
    const isSame =
      next.by === status.by &&
      next.fault === status.fault &&
      next.external?.host === status.external?.host &&
      next.external?.port === status.external?.port &&
      next.protocols.join() === status.protocols.join();
    if (isSame || closing !== undefined) return;
    status = next;
    log.debug('port mapping', {
      by: next.by,
      external: next.external?.host,
      port: next.external?.port,
      fault: next.fault,
    });
    onChange();
  }

  function tellHeld({ mappings }: Held): void {
    const [first] = mappings;
    if (first === undefined) return;
    const isReachable = !isLocalAddress(first.external.host);
    tell({
      by: first.by,
      external: isReachable ? first.external : undefined,
      protocols: isReachable ? mappings.map(({ protocol }) => protocol) : [],
      fault: isReachable
        ? undefined
        : `the router opened a port, but is itself behind another router or the provider's (its address there is ` +
          `${first.external.host}): the internet does not reach it`,
    });
  }

  // ---- asking --------------------------------------------------------------------------------------------------

  /** Maps every protocol at one external port. @throws what the mapper throws when not even the first is mapped. */
  async function mapAll(mapper: PortMapper, preferred: number): Promise<readonly Mapped[]> {
    const [first, second] = protocols;
    if (first === undefined) throw new PeerfsError('EINVAL', 'nothing to map');
    let wanted = preferred;
    for (let tries = 1; ; tries++) {
      const one = await mapper.map({ protocol: first, internalPort: port, externalPort: wanted });
      if (second === undefined) return [one];
      let other: Mapped;
      try {
        other = await mapper.map({ protocol: second, internalPort: port, externalPort: one.external.port });
      } catch (error) {
        log.debug('port mapping of one protocol only', { error: String(error) });
        return [one];
      }
      if (other.external.port === one.external.port) return [one, other];
      await mapper.unmap(other).catch(() => undefined);
      if (tries === COMMON_PORT_TRIES) return [one];
      await mapper.unmap(one).catch(() => undefined);
      wanted = FIRST_OTHER_PORT + Math.floor(random() * OTHER_PORT_RANGE);
    }
  }

  /** The router of now; the one of before is forgotten if it is another. */
  function currentRouter(): Router | undefined {
    const place = findGateway();
    if (router !== undefined && router.place.gateway === place?.gateway && router.place.local === place.local)
      return router;
    for (const mapper of router?.mappers ?? []) mapper.close();
    held = undefined;
    router = place === undefined ? undefined : { place, mappers: openMappers(place) };
    return router;
  }

  /** Renews what is held, or asks all ways for a port. */
  async function attempt(): Promise<void> {
    const now = currentRouter();
    if (now === undefined) return failed('this computer has no router that leads to the internet');
    const preferred = held?.mappings[0]?.external.port ?? port;
    const ways = held === undefined ? now.mappers : [held.mapper, ...now.mappers.filter((way) => way !== held?.mapper)];
    const prepared = ways.map((way) => way.prepare());
    const faults: PeerfsError[] = [];
    for (const [index, mapper] of ways.entries()) {
      try {
        await prepared[index];
        const mappings = await mapAll(mapper, preferred);
        if (closing === undefined && router === now) return succeeded(mapper, mappings);
        return void Promise.all(mappings.map((mapped) => mapper.unmap(mapped))).catch(() => undefined);
      } catch (error) {
        if (closing !== undefined || router !== now) return;
        if (error instanceof PeerfsError) faults.push(error);
        else log.debug('port mapping', { error: String(error) });
      }
    }
    // A refusal says more than silence.
    const refusal = faults.find(({ code }) => code === 'EACCES');
    failed(refusal?.message ?? 'the router answers neither PCP, NAT-PMP nor UPnP');
  }

  function succeeded(mapper: PortMapper, mappings: readonly Mapped[]): void {
    retryMs = FIRST_RETRY_MS;
    const lifetimeMs = Math.min(PERMANENT_MS, ...mappings.map((mapped) => mapped.lifetimeMs));
    const isPermanent = mappings.every((mapped) => mapped.lifetimeMs === Infinity);
    held = { mapper, mappings, expiresAt: isPermanent ? Infinity : clock.now() + lifetimeMs };
    wait(lifetimeMs / 2);
    waitToCheck(mapper.checkMs);
    tellHeld(held);
  }

  /** What is held stays until it runs out: a router may be silent for a moment. */
  function failed(fault: string): void {
    timers.check?.cancel();
    if (held !== undefined && clock.now() >= held.expiresAt) held = undefined;
    wait(retryMs * (1 + RETRY_SPREAD * random()));
    retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
    if (held === undefined) tell({ ...NO_STATUS, fault });
  }

  // ---- when ----------------------------------------------------------------------------------------------------

  function wait(delayMs: number): void {
    timers.next?.cancel();
    if (closing === undefined) timers.next = clock.after(delayMs, () => void work(attempt));
  }

  function waitToCheck(delayMs: number): void {
    timers.check?.cancel();
    if (closing === undefined) timers.check = clock.after(delayMs, () => void work(checkHeld));
  }

  /** Maps again when the router has forgotten the mapping, or says nothing. */
  async function checkHeld(): Promise<void> {
    const before = held;
    const now = currentRouter();
    if (before === undefined || held !== before || now === undefined) return attempt();
    let answer: 'holds' | 'forgotten' | 'silence' = 'holds';
    for (const mapped of before.mappings) {
      try {
        if (!(await before.mapper.holds(mapped))) answer = 'forgotten';
      } catch {
        if (answer === 'holds') answer = 'silence';
      }
    }
    if (closing !== undefined) return;
    if (answer === 'holds') return waitToCheck(before.mapper.checkMs);
    if (answer === 'forgotten') held = { ...before, expiresAt: clock.now() };
    await attempt();
  }

  /** One thing at a time. */
  function work(task: () => Promise<void>): Promise<void> {
    if (closing !== undefined) return Promise.resolve();
    if (working !== undefined) return working;
    const done = task().finally(() => {
      working = undefined;
      if (!isStale) return;
      isStale = false;
      void work(checkHeld);
    });
    working = done;
    return done;
  }

  async function takeDown(): Promise<void> {
    const before = held;
    held = undefined;
    const mappers = router?.mappers ?? [];
    if (before !== undefined) {
      let timer: Timer | undefined;
      const patience = new Promise<void>((resolve) => {
        timer = clock.after(CLOSE_MS, resolve);
      });
      const gone = Promise.allSettled(before.mappings.map((mapped) => before.mapper.unmap(mapped)));
      await Promise.race([gone, patience]);
      timer?.cancel();
    }
    for (const mapper of mappers) mapper.close();
    await working?.catch(() => undefined);
  }

  const begin = clock.after(0, () => void work(attempt));

  return {
    get status() {
      return status;
    },

    networkChanged() {
      retryMs = FIRST_RETRY_MS;
      if (working === undefined) void work(checkHeld);
      else isStale = true;
    },

    async check() {
      await (working ?? (status.external === undefined ? work(attempt) : work(checkHeld)));
      const now = closing === undefined ? currentRouter() : undefined;
      const answers = await Promise.all((now?.mappers ?? []).map((mapper) => mapper.probe()));
      return answers.flat();
    },

    close() {
      if (closing !== undefined) return closing;
      begin.cancel();
      timers.next?.cancel();
      timers.check?.cancel();
      closing = takeDown();
      status = NO_STATUS;
      return closing;
    },
  };
}
