/**
 * The network as UPnP uses it: searches by multicast, and small HTTP requests. Owns the limits in size and time, and who
 * may answer a search: the gateway or a private address. Proxies of the environment and redirections do not count.
 */
import { createSocket } from 'node:dgram';
import { request, type ClientRequest } from 'node:http';
import type { Clock } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import { decodeSearchReply, encodeSearches, SSDP_ADDRESS } from '../wire/upnp.ts';
import { isLocalAddress } from './address-rules.ts';
import type { Gateway } from './gateway.ts';
import type { UdpAddress } from './udp-port.ts';

/** Tuning. */
const MAX_TEXT_BYTES = 128 << 10;
const REQUEST_MS = 3000;
/** By when routers are to answer. */
const SEARCH_WAIT_SECONDS = 1;
/** Multicast gets lost: the search is said twice. */
const SEARCH_AGAIN_MS = 300;
const SEARCH_TTL = 2;

export interface UpnpAnswer {
  /** Whether its status was 200. */
  readonly ok: boolean;
  readonly text: string;
}

export interface UpnpNetwork {
  /** @returns what ends the search. Idempotent. */
  search(place: Gateway, onAnswer: (host: string, location: string) => void): () => void;
  /** @param local the address of this computer from which to ask. @throws ETIMEDOUT. */
  get(url: URL, local: string): Promise<string>;
  /** @param action header SOAPAction. @throws ETIMEDOUT. */
  post(url: URL, local: string, action: string, body: Uint8Array): Promise<UpnpAnswer>;
  /** Ends what is under way. Idempotent. */
  close(): void;
}

/** @param searchAt where searches go to besides the gateway; the multicast group of SSDP but in tests. */
export function createUpnpNetwork(clock: Clock, searchAt: UdpAddress = SSDP_ADDRESS): UpnpNetwork {
  const underWay = new Set<ClientRequest>();
  const stops = new Set<() => void>();
  let closed = false;

  function ask(
    url: URL,
    local: string,
    method: 'GET' | 'POST',
    action: string,
    body?: Uint8Array,
  ): Promise<UpnpAnswer> {
    return new Promise((resolve, reject) => {
      const fail = (): void => {
        timer.cancel();
        underWay.delete(asked);
        asked.destroy();
        reject(new PeerfsError('ETIMEDOUT', 'the router does not answer UPnP'));
      };
      const headers =
        body === undefined
          ? {}
          : { 'Content-Type': 'text/xml; charset="utf-8"', SOAPAction: action, 'Content-Length': body.length };
      const asked = request(
        url,
        { method, agent: false, localAddress: local, headers: { ...headers, Connection: 'close' } },
        (answer) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          answer.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes > MAX_TEXT_BYTES) return fail();
            chunks.push(chunk);
          });
          answer.on('error', fail);
          answer.on('end', () => {
            timer.cancel();
            underWay.delete(asked);
            resolve({ ok: answer.statusCode === 200, text: Buffer.concat(chunks).toString('utf8') });
          });
        },
      );
      const timer = clock.after(REQUEST_MS, fail);
      asked.on('error', fail);
      asked.on('close', fail);
      underWay.add(asked);
      if (closed) return fail();
      asked.end(body);
    });
  }

  return {
    search(place, onAnswer) {
      const socket = createSocket('udp4');
      let ended = false;
      const stop = (): void => {
        if (ended) return;
        ended = true;
        again.cancel();
        stops.delete(stop);
        socket.close();
      };
      // The multicast route may be missing or the network gone: that is no answer, then.
      const ignore = (): void => undefined;
      const send = (): void => {
        if (ended) return;
        for (const message of encodeSearches(SEARCH_WAIT_SECONDS)) {
          socket.send(message, searchAt.port, searchAt.host, ignore);
          if (searchAt === SSDP_ADDRESS) socket.send(message, searchAt.port, place.gateway, ignore);
        }
      };
      const again = clock.after(SEARCH_AGAIN_MS, send);
      stops.add(stop);
      socket.unref();
      socket.on('error', ignore);
      socket.on('message', (datagram, { address }) => {
        if (ended || (address !== place.gateway && !isLocalAddress(address))) return;
        const location = decodeSearchReply(datagram);
        if (location !== undefined) onAnswer(address, location);
      });
      socket.bind({ address: place.local, port: 0 }, () => {
        if (ended) return;
        try {
          socket.setMulticastInterface(place.local);
          socket.setMulticastTTL(SEARCH_TTL);
        } catch {
          // The address is gone: the search finds nothing.
        }
        send();
      });
      if (closed) stop();
      return stop;
    },

    async get(url, local) {
      const { ok, text } = await ask(url, local, 'GET', '');
      return ok ? text : '';
    },

    post: (url, local, action, body) => ask(url, local, 'POST', action, body),

    close() {
      if (closed) return;
      closed = true;
      for (const stop of [...stops]) stop();
      for (const asked of [...underWay]) asked.destroy();
    },
  };
}
