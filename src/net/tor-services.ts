/**
 * What we want of a Tor: which onion services it publishes for us, and the keys with which it finds restricted ones.
 * Kept here, so that it can be given again to the next Tor when one is lost. Owns the commands; does not own the
 * connection, nor how Tor is found (tor-client.ts).
 *
 * Specification: torspec control-spec, ADD_ONION, DEL_ONION, ONION_CLIENT_AUTH_ADD, ONION_CLIENT_AUTH_REMOVE, HS_DESC.
 * Services are never detached: they end with the control connection, and so with us.
 *
 *     waiting ---a directory has its descriptor---> published      (both: lost, or who may find it changed -> waiting)
 *        ^---- 10 seconds ---- failed <--- Tor refuses it
 */
import type { Clock } from '../clock.ts';
import { encodeBase32 } from '../crypto/base32.ts';
import { ONION_CLIENT_KEY_BYTES, onionKeyFromSeed, onionPublicKey } from '../crypto/onion.ts';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { OnionService, OnionServiceOptions } from './tor.ts';
import { isOk } from './tor-authentication.ts';
import type { ControlConnection } from './tor-control.ts';

/** A descriptor has at most 50,000 bytes (rend-spec-v3 section 2.5); that many clients' lines fit with room. */
export const MAX_ONION_CLIENTS = 300;
/** Tuning: a service that Tor refused is offered again after so long. Milliseconds. */
const AGAIN_MS = 10_000;

const SUFFIX = '.onion';
const idOf = (host: string): string => host.slice(0, -SUFFIX.length);

interface Service {
  readonly options: OnionServiceOptions;
  readonly host: string;
  /** Of ADD_ONION, secret. */
  readonly key: string;
  /** Base32, sorted; undefined: no restriction. */
  clients: readonly string[] | undefined;
  state: OnionService['state'];
  isAdded: boolean;
  /** Tor has it: what it says of it is not about the one before. */
  isAccepted: boolean;
  /** Of the commands about it; an answer to an earlier one does not count. */
  round: number;
}

export interface TorServices {
  /** @throws PeerfsError EEXIST while a service with this seed is open. */
  serve(options: OnionServiceOptions): OnionService;
  /** See Tor.authorise. */
  authorise(host: string, secretKey: Uint8Array): () => void;
  /** From now on this Tor gets everything, beginning with all there is. */
  attach(connection: ControlConnection): void;
  /** That Tor is lost. */
  detach(): void;
  /** Takes our keys out of a Tor that lives on without us. Settles when it did, or is lost. */
  leave(): Promise<void>;
  /** An event's first line. */
  heard(event: string): void;
}

export interface TorServicesOptions {
  readonly clock: Clock;
  readonly log: Logger;
}

export function createTorServices({ clock, log }: TorServicesOptions): TorServices {
  const services = new Map<string, Service>();
  /** Base64, by host; the last one counts. */
  const keys = new Map<string, { readonly key: string }[]>();
  let connection: ControlConnection | undefined;

  function add(service: Service): void {
    const { options, clients } = service;
    // A restricted service that nobody may find: Tor would make it one that everybody may.
    if (connection === undefined || service.isAdded || clients?.length === 0) return;
    const words = [
      `ADD_ONION ED25519-V3:${service.key}`,
      clients === undefined ? 'Flags=DiscardPK' : 'Flags=DiscardPK,V3Auth',
      `Port=${options.virtualPort},127.0.0.1:${options.targetPort}`,
      ...(clients ?? []).map((client) => `ClientAuthV3=${client}`),
    ];
    service.isAdded = true;
    const round = ++service.round;
    connection.command(words.join(' ')).then(
      (reply) => {
        if (round !== service.round) return;
        service.isAccepted = isOk(reply);
        if (service.isAccepted) return;
        log.warn('Tor refused an onion service', { status: reply.status });
        service.isAdded = false;
        service.state = 'failed';
        clock.after(AGAIN_MS, () => {
          if (round === service.round) add(service);
        });
      },
      // The connection is lost: the next one gets it.
      () => undefined,
    );
  }

  function remove(service: Service): void {
    if (service.isAdded) void send(`DEL_ONION ${idOf(service.host)}`);
    forget(service);
  }

  function forget(service: Service): void {
    service.isAdded = false;
    service.isAccepted = false;
    service.round++;
    service.state = 'waiting';
  }

  async function send(line: string): Promise<void> {
    await connection?.command(line).then(
      (reply) => {
        if (!isOk(reply)) log.debug('Tor refused', { command: line.split(' ')[0], status: reply.status });
      },
      () => undefined,
    );
  }

  function giveKey(host: string): void {
    const last = keys.get(host)?.at(-1);
    if (last === undefined) void send(`ONION_CLIENT_AUTH_REMOVE ${idOf(host)}`);
    else void send(`ONION_CLIENT_AUTH_ADD ${idOf(host)} x25519:${last.key}`);
  }

  return {
    serve(options) {
      const { host, expandedKey } = onionKeyFromSeed(options.seed);
      if (services.has(host)) throw new PeerfsError('EEXIST', 'this onion service is open already');
      const service: Service = {
        options,
        host,
        key: Buffer.from(expandedKey).toString('base64'),
        clients: options.clients === undefined ? undefined : clientNames(options.clients, log),
        state: 'waiting',
        isAdded: false,
        isAccepted: false,
        round: 0,
      };
      expandedKey.fill(0);
      services.set(host, service);
      add(service);
      return {
        host,
        get state() {
          return service.state;
        },
        allow(clients) {
          const names = clientNames(clients, log);
          if (services.get(host) !== service || names.join() === service.clients?.join()) return;
          remove(service);
          service.clients = names;
          add(service);
        },
        close() {
          if (services.get(host) !== service) return;
          remove(service);
          services.delete(host);
        },
      };
    },

    authorise(host, secretKey) {
      if (onionPublicKey(host) === undefined || secretKey.length !== ONION_CLIENT_KEY_BYTES) return () => undefined;
      const mine = { key: Buffer.from(secretKey).toString('base64') };
      keys.set(host, [...(keys.get(host) ?? []), mine]);
      giveKey(host);
      return () => {
        const held = keys.get(host) ?? [];
        if (!held.includes(mine)) return;
        const others = held.filter((other) => other !== mine);
        if (others.length === 0) keys.delete(host);
        else keys.set(host, others);
        if (others.at(-1) !== held.at(-1)) giveKey(host);
      };
    },

    attach(next) {
      connection = next;
      for (const host of keys.keys()) giveKey(host);
      for (const service of services.values()) add(service);
    },

    detach() {
      connection = undefined;
      for (const service of services.values()) forget(service);
    },

    async leave() {
      await Promise.all([...keys.keys()].map((host) => send(`ONION_CLIENT_AUTH_REMOVE ${idOf(host)}`)));
    },

    heard(event) {
      const [, id] = /^HS_DESC UPLOADED (\w{56})(?: |$)/.exec(event) ?? [];
      const service = id === undefined ? undefined : services.get(id + SUFFIX);
      if (service?.isAccepted === true) service.state = 'published';
    },
  };
}

/** As ADD_ONION takes them; the order in which they came does not count. */
function clientNames(clients: readonly Uint8Array[], log: Logger): readonly string[] {
  const names = [
    ...new Set(clients.filter(({ length }) => length === ONION_CLIENT_KEY_BYTES).map(encodeBase32)),
  ].sort();
  if (names.length > MAX_ONION_CLIENTS) log.warn('too many may find an onion service', { most: MAX_ONION_CLIENTS });
  return names.slice(0, MAX_ONION_CLIENTS);
}
