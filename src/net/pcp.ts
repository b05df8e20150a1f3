/**
 * Asks the default gateway for ports by PCP (RFC 6887), and by NAT-PMP (RFC 6886) where it knows only that. Owns
 * repetition, the nonces, and noticing by the epoch that the router has forgotten all. Does not own renewal
 * (port-mapping.ts) or the bytes (src/wire/pcp.ts). Multicast announcements are not listened to.
 */
import { createHmac } from 'node:crypto';
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import {
  decodeRouterResponse,
  encodeNatPmpAddress,
  encodeNatPmpMap,
  encodePcpAnnounce,
  encodePcpMap,
  NAT_PMP_RESULT,
  PCP_NONCE_BYTES,
  PCP_RESULT,
  type MappedProtocol,
  type RouterResponse,
} from '../wire/pcp.ts';
import type { Gateway } from './gateway.ts';
import type { Mapped, MappingAnswer, MappingRequest, PortMapper } from './port-mapper.ts';

/** Specification: RFC 6886 section 3.1, the first wait; each is twice the one before. Milliseconds. */
const FIRST_WAIT_MS = 250;
/** Tuning. */
/** A gateway is one hop away: who has not answered three times in 1.75 s does not speak the protocol. */
const SENDS = 3;
const LIFETIME_SECONDS = 3600;
/** A router that grants less is asked again and again, so no more often than this. Seconds. */
const LEAST_LIFETIME_SECONDS = 60;
const CHECK_MS = 60_000;

/** A socket that hears only the gateway. */
export interface RouterSocket {
  /** Never throws. */
  send(datagram: Uint8Array): void;
  close(): void;
}

export interface RouterSocketEvents {
  input(datagram: Uint8Array): void;
  /** Nobody listens at the gateway's port, or there is no way there. */
  refused(): void;
}

export interface PcpOptions {
  readonly place: Gateway;
  readonly openSocket: (place: Gateway, events: RouterSocketEvents) => RouterSocket;
  /** The nonces come of it: with the same secret a node that starts again is the owner of its mappings. */
  readonly secret: Uint8Array;
  readonly clock: Clock;
}

interface Question {
  /** Whether that was the answer. */
  take(response: RouterResponse): boolean;
  fail(error: PeerfsError): void;
}

/**
 * RFC 6887 section 8.5: whether the router's clock went on as ours did; if not, it has lost its mappings.
 * Times in seconds.
 */
export function epochHolds(clientPassed: number, before: number, after: number): boolean {
  if (after + 1 < before) return false;
  const serverPassed = after - before;
  return clientPassed + 2 >= serverPassed - serverPassed / 16 && serverPassed + 2 >= clientPassed - clientPassed / 16;
}

function silence(): PeerfsError {
  return new PeerfsError('ETIMEDOUT', 'the router does not answer PCP or NAT-PMP');
}

const PCP_WORDS = new Map<number, string>([
  [PCP_RESULT.notAuthorized, 'the router does not allow it'],
  [PCP_RESULT.networkFailure, 'the router has no address on the internet itself'],
  [PCP_RESULT.noResources, 'the router has no more ports'],
  [PCP_RESULT.unsupportedProtocol, 'the router does not map this protocol'],
  [PCP_RESULT.quotaExceeded, 'the router gives this computer no more ports'],
  [PCP_RESULT.cannotProvideExternal, 'the router has the port in use'],
  [PCP_RESULT.addressMismatch, 'another router stands in between'],
]);
const NAT_PMP_WORDS = new Map<number, string>([
  [NAT_PMP_RESULT.notAuthorized, 'the router does not allow it'],
  [NAT_PMP_RESULT.networkFailure, 'the router has no address on the internet itself'],
  [NAT_PMP_RESULT.noResources, 'the router has no more ports'],
]);

function pcpRefusal(result: number): PeerfsError {
  return new PeerfsError('EACCES', `${PCP_WORDS.get(result) ?? 'the router refuses'} (PCP, result ${result})`);
}

function natPmpRefusal(result: number): PeerfsError {
  return new PeerfsError('EACCES', `${NAT_PMP_WORDS.get(result) ?? 'the router refuses'} (NAT-PMP, result ${result})`);
}

/** Opens its socket at once. */
export function openPcp({ place, openSocket, secret, clock }: PcpOptions): PortMapper {
  const questions = new Set<Question>();
  let speaks: 'pcp' | 'nat-pmp' | undefined;
  let lastEpoch: { readonly seconds: number; readonly at: number } | undefined;
  /** The router has forgotten mappings since `holds` was last asked. */
  let forgot = false;
  let closed = false;

  const socket = openSocket(place, {
    input(datagram) {
      const response = decodeRouterResponse(datagram);
      if (response === undefined) return;
      const isOurs = [...questions].some((question) => question.take(response));
      if (isOurs) noteEpoch(response.epoch);
    },
    refused: () => failAll(silence()),
  });

  function failAll(error: PeerfsError): void {
    for (const question of [...questions]) question.fail(error);
  }

  function noteEpoch(seconds: number): void {
    const at = clock.now();
    if (lastEpoch !== undefined && !epochHolds((at - lastEpoch.at) / 1000, lastEpoch.seconds, seconds)) forgot = true;
    lastEpoch = { seconds, at };
  }

  /** @param match the answer, when a response is it. @throws ETIMEDOUT, CANCELLED. */
  function ask<T>(datagrams: readonly Uint8Array[], match: (response: RouterResponse) => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      if (closed) return reject(new PeerfsError('CANCELLED'));
      let sent = 0;
      let timer: Timer | undefined;
      const end = (): void => {
        timer?.cancel();
        questions.delete(question);
      };
      const question: Question = {
        take(response) {
          const answer = match(response);
          if (answer === undefined) return false;
          end();
          resolve(answer);
          return true;
        },
        fail(error) {
          end();
          reject(error);
        },
      };
      const send = (): void => {
        if (sent === SENDS) return question.fail(silence());
        // What comes after the first is only for routers that say nothing to a version they do not know.
        for (const datagram of sent === 0 ? datagrams.slice(0, 1) : datagrams) socket.send(datagram);
        timer = clock.after(FIRST_WAIT_MS * 2 ** sent, send);
        sent += 1;
      };
      questions.add(question);
      send();
    });
  }

  function nonceOf(protocol: MappedProtocol, port: number): Uint8Array {
    const whole = createHmac('sha256', secret)
      .update(`pcp ${protocol} ${port} ${place.local} ${place.gateway}`)
      .digest();
    return whole.subarray(0, PCP_NONCE_BYTES);
  }

  async function askPcp(request: MappingRequest, lifetimeSeconds: number): Promise<Mapped | 'other-protocol'> {
    const { protocol, internalPort, externalPort } = request;
    const nonce = nonceOf(protocol, internalPort);
    const message = encodePcpMap({
      protocol,
      nonce,
      client: place.local,
      internalPort,
      suggestedPort: lifetimeSeconds === 0 ? 0 : externalPort,
      lifetimeSeconds,
    });
    const isNatPmp = ({ kind }: RouterResponse): boolean => kind === 'nat-pmp-address' || kind === 'nat-pmp-other';
    const answer = await ask([message, ...(speaks === 'pcp' ? [] : [encodeNatPmpAddress()])], (response) => {
      if (speaks === undefined && isNatPmp(response)) return response;
      if (response.kind === 'pcp-other') return response.result === PCP_RESULT.success ? undefined : response;
      if (response.kind !== 'pcp-map' || !Buffer.from(response.nonce).equals(nonce)) return undefined;
      return response.protocol === protocol && response.internalPort === internalPort ? response : undefined;
    });
    const isUnknown =
      answer.result === PCP_RESULT.unsupportedVersion ||
      (speaks === undefined && answer.result === PCP_RESULT.unsupportedOpcode);
    if (isNatPmp(answer) || isUnknown) return 'other-protocol';
    speaks = 'pcp';
    if (answer.kind !== 'pcp-map' || answer.result !== PCP_RESULT.success) throw pcpRefusal(answer.result);
    return {
      by: 'pcp',
      protocol,
      internalPort,
      external: { host: answer.externalHost, port: answer.externalPort },
      lifetimeMs: 1000 * Math.max(answer.lifetimeSeconds, LEAST_LIFETIME_SECONDS),
    };
  }

  async function askNatPmpAddress(): Promise<string> {
    const answer = await ask([encodeNatPmpAddress()], (response) =>
      response.kind === 'nat-pmp-address' || response.kind === 'nat-pmp-other' ? response : undefined,
    );
    if (answer.kind !== 'nat-pmp-address' || answer.result !== NAT_PMP_RESULT.success)
      throw natPmpRefusal(answer.result);
    return answer.host;
  }

  async function askNatPmp(request: MappingRequest, lifetimeSeconds: number): Promise<Mapped> {
    const { protocol, internalPort, externalPort } = request;
    const suggestedPort = lifetimeSeconds === 0 ? 0 : externalPort;
    const host = lifetimeSeconds === 0 ? '0.0.0.0' : await askNatPmpAddress();
    const answer = await ask(
      [encodeNatPmpMap({ protocol, internalPort, suggestedPort, lifetimeSeconds })],
      (response) => {
        if (response.kind === 'nat-pmp-other') return response;
        if (response.kind !== 'nat-pmp-map') return undefined;
        return response.protocol === protocol && response.internalPort === internalPort ? response : undefined;
      },
    );
    if (answer.kind !== 'nat-pmp-map' || answer.result !== NAT_PMP_RESULT.success) throw natPmpRefusal(answer.result);
    speaks = 'nat-pmp';
    return {
      by: 'nat-pmp',
      protocol,
      internalPort,
      external: { host, port: answer.externalPort },
      lifetimeMs: 1000 * Math.max(answer.lifetimeSeconds, LEAST_LIFETIME_SECONDS),
    };
  }

  async function askEither(request: MappingRequest, lifetimeSeconds: number): Promise<Mapped> {
    if (speaks !== 'nat-pmp') {
      const mapped = await askPcp(request, lifetimeSeconds);
      if (mapped !== 'other-protocol') return mapped;
    }
    return askNatPmp(request, lifetimeSeconds);
  }

  async function probePcp(): Promise<MappingAnswer> {
    try {
      const { kind, result } = await ask([encodePcpAnnounce(place.local)], (response) =>
        response.kind === 'pcp-other' || response.kind === 'nat-pmp-other' ? response : undefined,
      );
      const works = kind === 'pcp-other' && result === PCP_RESULT.success;
      const detail = works ? 'the router answers' : 'the router does not know PCP';
      return { by: 'pcp', works, detail };
    } catch {
      return { by: 'pcp', works: false, detail: 'no answer' };
    }
  }

  async function probeNatPmp(): Promise<MappingAnswer> {
    try {
      return { by: 'nat-pmp', works: true, detail: `the router's own address is ${await askNatPmpAddress()}` };
    } catch (error) {
      const isRefusal = error instanceof PeerfsError && error.code === 'EACCES';
      return { by: 'nat-pmp', works: false, detail: isRefusal ? error.message : 'no answer' };
    }
  }

  return {
    checkMs: CHECK_MS,
    prepare: () => Promise.resolve(),
    map: (request) => askEither(request, LIFETIME_SECONDS),

    async holds(mapped) {
      if (mapped.by === 'nat-pmp') {
        if ((await askNatPmpAddress()) !== mapped.external.host) return false;
      } else {
        await ask([encodePcpAnnounce(place.local)], (response) =>
          response.kind === 'pcp-other' ? response : undefined,
        );
      }
      // The answer's epoch is noted after it was taken, but before whoever waits for it goes on.
      const held = !forgot;
      forgot = false;
      return held;
    },

    async unmap(mapped) {
      const request = { protocol: mapped.protocol, internalPort: mapped.internalPort, externalPort: 0 };
      await askEither(request, 0);
    },

    probe: async () => Promise.all([probePcp(), probeNatPmp()]),

    close() {
      if (closed) return;
      closed = true;
      failAll(new PeerfsError('CANCELLED'));
      socket.close();
    },
  };
}
