/**
 * Our node in the BitTorrent mainline DHT (BEP 5, 43, 44): read-only, on the shared port. Owns the library's instance: its
 * start, what to do when nobody answers, the nodes worth keeping, and that every get and put ends. Does not own what is
 * stored or when (dht-meeting.ts), nor the socket (dht-socket.ts).
 *
 *     starting --a node answered--> ready --nobody answers any more, the network changed--> starting
 *     starting --nobody within START_MS--> failed --retry, with back-off--> failed or ready
 *
 * Read-only is what we say and do; nodes that do not know of it (and libtorrent, of who stored something) keep us in their
 * tables until we have not answered them.
 *
 * The node's id is random and another after every start: it is of no use to be recognised by it.
 */
import { createHash } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import DHT from 'bittorrent-dht';
import type { Clock, Timer } from '../clock.ts';
import { signAtPlace, verifyAtPlace, type MeetingPlace } from '../crypto/meeting.ts';
import { parseHostPort } from '../host-port.ts';
import type { Logger } from '../log.ts';
import { readSigned } from './dht-message.ts';
import { createDhtSocket, type DhtSocket } from './dht-socket.ts';
import type { SharedPort } from './shared-port.ts';
import type { UdpAddress } from './udp-port.ts';

/** BEP 5. Bytes. */
const NODE_ID_BYTES = 20;

/** Tuning. Milliseconds. */
/** For an answer, at first and at most: doubled where many come later, since silent nodes hold every search up. */
const FIRST_TIMEOUT_MS = 500;
const LAST_TIMEOUT_MS = 2000;
/** A get or put that takes longer is given up; early answers have been acted on. */
const JOB_MS = 12_000;
/** From asking the first nodes to `failed`. */
const START_MS = 5000;
const FIRST_RETRY_MS = 5000;
const LAST_RETRY_MS = 5 * 60_000;
/** Changes of the network in quick succession become one. */
const RESTART_PAUSE_MS = 300;
const OUTDATED_MS = 10 * 60_000;
const FIRST_SAVE_MS = 20_000;
const SAVE_EVERY_MS = 10 * 60_000;
/** Queries under way at once. */
const CONCURRENCY = 48;
/** Gets and puts in a row without any answer before all begins anew. */
const MAX_SILENT_JOBS = 3;
/** Answers after which their lateness counts, and the share of late ones that is too much. */
const MIN_ANSWERS = 8;
const MAX_LATE = 0.25;
/** Nodes handed out to be kept, and taken from what was kept. */
const MAX_SAVED_NODES = 64;

export interface DhtStatus {
  /** starting: no node has answered yet; failed: none did, tried again later. */
  readonly state: 'starting' | 'ready' | 'failed';
  /** Nodes known to answer. */
  readonly nodes: number;
}

export interface DhtNodeOptions {
  readonly port: SharedPort;
  /** `host:port`, names too; IPv4. */
  readonly bootstrap: readonly string[];
  /** What onNodes said in an earlier life; asked together with `bootstrap`. */
  readonly savedNodes: readonly UdpAddress[];
  /** Nodes that answer, at most 64: worth keeping for the next start, instead of those before. */
  readonly onNodes: (nodes: readonly UdpAddress[]) => void;
  /** A node that we asked says from where our query came. */
  readonly onVote: (voter: UdpAddress, seen: UdpAddress) => void;
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  /** Secret random bytes. */
  readonly randomBytes: (length: number) => Uint8Array;
  readonly log: Logger;
  /** IPv4 addresses of a name. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

export interface DhtNode {
  readonly status: DhtStatus;
  /** Called after every change of state. */
  onState: (() => void) | undefined;
  /**
   * Looks up what is stored at a place.
   * @param found for each sound value of a higher number than before, as soon as a node gave it; maybe after others.
   * @returns whether any node answered. Never rejects.
   */
  get(place: MeetingPlace, found: (value: Uint8Array, seq: number) => void): Promise<boolean>;
  /**
   * Stores a value at a place, right after a get of the same place, which finds the nodes for it.
   * @param seq above the number of what is stored there.
   * @returns how many nodes took it. Never rejects.
   */
  put(place: MeetingPlace, value: Uint8Array, seq: number): Promise<number>;
  /** The network has changed: begins anew. */
  restart(): void;
  /** Idempotent. */
  close(): void;
}

interface Instance {
  readonly dht: DHT;
  readonly socket: DhtSocket;
  /** Ends the gets and puts under way. */
  readonly cancels: Set<() => void>;
}

async function resolveName(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { family: 4, all: true });
  return found.map(({ address }) => address);
}

export function openDhtNode(options: DhtNodeOptions): DhtNode {
  const { clock, random, log } = options;
  const resolve = options.resolve ?? resolveName;
  let state: DhtStatus['state'] = 'starting';
  let closed = false;
  let attempts = 0;
  let silentJobs = 0;
  let timeoutMs = FIRST_TIMEOUT_MS;
  let known = options.savedNodes.slice(0, MAX_SAVED_NODES);
  /** Of start, retry and restart: one at a time. */
  let timer: Timer | undefined;
  let restartSoon: Timer | undefined;
  let saving: Timer | undefined;
  let instance = open();

  function open(): Instance {
    const { port, randomBytes, onVote } = options;
    const socket = createDhtSocket({ port, clock, timeoutMs, randomBytes, onVote });
    const dht = new DHT({
      nodeId: Buffer.from(randomBytes(NODE_ID_BYTES)),
      socket,
      bootstrap: false,
      concurrency: CONCURRENCY,
      timeout: timeoutMs,
      timeBucketOutdated: OUTDATED_MS,
      maxValues: 1,
      maxPeers: 1,
    });
    dht.on('error', (error: unknown) => log.debug('dht.error', { error: String(error) }));
    dht.on('warning', () => undefined);
    dht.on('node', () => answered(dht));
    dht.listen();
    return { dht, socket, cancels: new Set() };
  }

  function dispose({ dht, cancels }: Instance): void {
    for (const cancel of [...cancels]) cancel();
    dht.destroy();
  }

  function enter(next: DhtStatus['state']): void {
    if (state === next) return;
    state = next;
    log.debug('dht.state', { state, nodes: node.status.nodes });
    node.onState?.();
  }

  /** Asks the nodes we know, and those whose names can be resolved, for a sign of life. */
  function contact(): void {
    const { dht } = instance;
    for (const saved of known) if (isIPv4(saved.host) && saved.port > 0) dht.addNode({ ...saved });
    for (const text of options.bootstrap) {
      const address = parseHostPort(text);
      if (address === undefined || address.port === 0) continue;
      const ask = (hosts: readonly string[]): void => {
        if (dht.destroyed) return;
        for (const host of hosts) if (isIPv4(host)) dht.addNode({ host, port: address.port });
      };
      if (isIPv4(address.host)) ask([address.host]);
      else resolve(address.host).then(ask, () => log.debug('dht.bootstrap name not resolved'));
    }
    timer?.cancel();
    timer = clock.after(START_MS, expiredStart);
  }

  function expiredStart(): void {
    if (closed || state === 'ready') return;
    enter('failed');
    const pauseMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempts);
    attempts += 1;
    timer = clock.after(pauseMs * (0.75 + random() / 2), contact);
  }

  function answered(dht: DHT): void {
    if (closed || dht !== instance.dht || state === 'ready') return;
    timer?.cancel();
    attempts = 0;
    silentJobs = 0;
    saving ??= clock.after(FIRST_SAVE_MS, expiredSave);
    // A search for ourselves fills the table.
    dht.get(Buffer.from(options.randomBytes(NODE_ID_BYTES)), { cache: false }, () => undefined);
    enter('ready');
  }

  function save(): void {
    const nodes = instance.dht.toJSON().nodes.map(({ host, port }) => ({ host, port, order: random() }));
    if (nodes.length === 0) return;
    nodes.sort((a, b) => a.order - b.order);
    known = nodes.slice(0, MAX_SAVED_NODES).map(({ host, port }) => ({ host, port }));
    options.onNodes(known);
  }

  function expiredSave(): void {
    save();
    saving = clock.after(SAVE_EVERY_MS, expiredSave);
  }

  function beginAnew(): void {
    restartSoon = undefined;
    timer?.cancel();
    const before = instance;
    instance = open();
    dispose(before);
    attempts = 0;
    silentJobs = 0;
    enter('starting');
    contact();
  }

  /** Runs something of the library's that may never call back. */
  function job<Result>(run: (dht: DHT, done: (result: Result) => void) => void, failed: Result): Promise<Result> {
    const { dht, socket, cancels } = instance;
    const before = socket.counters.answers;
    return new Promise((settle) => {
      const done = (result: Result): void => {
        if (!cancels.delete(cancel)) return;
        deadline.cancel();
        settle(result);
        if (dht !== instance.dht || closed || state !== 'ready') return;
        const { answers, late } = socket.counters;
        const lost = dht.nodes.count() === 0;
        silentJobs = answers > before ? 0 : silentJobs + 1;
        const tooLate = late > answers * MAX_LATE && (answers >= MIN_ANSWERS || lost);
        if (tooLate && timeoutMs < LAST_TIMEOUT_MS) timeoutMs *= 2;
        else if (!lost && silentJobs < MAX_SILENT_JOBS) return;
        beginAnew();
      };
      const cancel = (): void => done(failed);
      cancels.add(cancel);
      const deadline = clock.after(JOB_MS, cancel);
      if (closed) cancel();
      else run(dht, done);
    });
  }

  const node: DhtNode = {
    get status() {
      return { state, nodes: closed ? 0 : instance.dht.nodes.count() };
    },

    onState: undefined,

    get(place, found) {
      const { socket } = instance;
      const before = socket.counters.answers;
      const target = createHash('sha1').update(place.publicKey).digest();
      let highest = -1;
      const verify = (signature: Uint8Array, signed: Uint8Array, publicKey: Uint8Array): boolean => {
        if (!Buffer.from(place.publicKey).equals(publicKey)) return false;
        const item = readSigned(signed);
        // The same or an older one is checked no more: it would change nothing.
        if (item === undefined || item.seq <= highest) return false;
        if (!verifyAtPlace(place.publicKey, signed, signature)) return false;
        highest = item.seq;
        found(item.value, item.seq);
        return true;
      };
      return job(
        (dht, done) => dht.get(target, { cache: false, verify }, () => done(socket.counters.answers > before)),
        false,
      );
    },

    put(place, value, seq) {
      const item = {
        k: Buffer.from(place.publicKey),
        v: Buffer.from(value),
        seq,
        sign: (signed: Uint8Array) => Buffer.from(signAtPlace(place, signed)),
      };
      return job((dht, done) => dht.put(item, (_error, _target, nodes) => done(nodes ?? 0)), 0);
    },

    restart() {
      if (closed) return;
      timeoutMs = FIRST_TIMEOUT_MS;
      restartSoon ??= clock.after(RESTART_PAUSE_MS, beginAnew);
    },

    close() {
      if (closed) return;
      if (state === 'ready') save();
      closed = true;
      for (const one of [timer, restartSoon, saving]) one?.cancel();
      dispose(instance);
    },
  };
  contact();
  return node;
}
