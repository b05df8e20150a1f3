/**
 * What the command line asks of a running node, and what it gets: the types of the control socket, and how its lines
 * are read. One JSON object a line; one request a connection:
 *
 *     -> {"version":1,"method":"invite","params":{...}}
 *     <- {"progress":"..."}            any number
 *     <- {"result":...}                or {"error":{"code","message","hint"}}
 *
 * Invitation codes and texts pass here: the socket is for the node's own user alone.
 */
import type { Socket } from 'node:net';
import type { ChannelState } from '../net/channel.ts';
import type { PathKind } from '../net/path.ts';

export const CONTROL_VERSION = 1;
/** Longest line in either direction, bytes. */
export const CONTROL_LINE_BYTES = 4 * 1024 * 1024;

/** One path to a peer. */
export interface PathStatus {
  readonly kind: PathKind;
  /** Address of the far end, host:port. */
  readonly remote: string;
  /** Whether calls ride on it now. */
  readonly active: boolean;
  readonly rttMs: number | null;
  /** Datagrams sent again of those sent, 0 to 1; null for streams. */
  readonly loss: number | null;
  /** Both directions, over the last seconds, bytes a second. */
  readonly bytesPerSecond: number;
}

/** How a way of finding a peer fared last. */
export interface WayStatus {
  /** lan: hellos; address: addresses from before; dht; peer: a peer in common; tor: its onion service. */
  readonly way: 'lan' | 'address' | 'dht' | 'peer' | 'tor';
  /** off: not in use; untried; trying; found: it told where the peer may be; worked: a path came of it; failed. */
  readonly result: 'off' | 'untried' | 'trying' | 'found' | 'worked' | 'failed';
  /** ISO 8601, of the result. */
  readonly at: string | null;
}

/** A row of `peerfs peers --json`. */
export interface PeerStatus {
  readonly name: string;
  readonly id: string;
  readonly state: ChannelState;
  readonly path: PathKind | null;
  /** The path in use is slow by nature (Tor): nothing is read ahead, attributes are believed longer. */
  readonly slow: boolean;
  readonly rttMs: number | null;
  readonly paths: readonly PathStatus[];
  readonly ways: readonly WayStatus[];
  /** ISO 8601. */
  readonly lastSeenAt: string | null;
}

export interface InviteResult {
  readonly invitation: string;
  readonly code: string;
  /** ISO 8601. */
  readonly expiresAt: string;
  readonly id: string;
}

/** A row of `peerfs invite list --json`. */
export interface InvitationStatus {
  readonly id: string;
  /** given: made here; accepting: somebody else's, which this node is still trying to accept. */
  readonly direction: 'given' | 'accepting';
  readonly name: string | null;
  readonly state: string;
  readonly expiresAt: string;
}

export interface AcceptResult {
  readonly name: string;
  readonly id: string;
}

/** A row of `peerfs shares --json`. */
export interface ShareStatus {
  readonly name: string;
  readonly directory: string;
  readonly writable: boolean;
  readonly idmap: 'user' | 'none';
  /** Petnames; null: all peers. */
  readonly to: readonly string[] | null;
  /** Why it is not served at the moment. */
  readonly fault: string | null;
  /** Bytes that the folder may hold; null: as many as the disk. */
  readonly quota: number | null;
  /** Bytes that it holds, where there is a quota and they are counted. */
  readonly used: number | null;
}

export interface IdResult {
  readonly name: string;
  readonly id: string;
  /** Words to compare aloud. */
  readonly fingerprint: readonly string[];
}

export interface MountStatus {
  readonly directory: string;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
}

/** What the node knows of the network that it is in. */
export interface NetworkStatus {
  /**
   * none: our address is seen as it is; cone: every destination sees the same port of the router; symmetric: each sees
   * another; blocked: no answer to any datagram; unknown: nobody outside was asked.
   */
  readonly nat: 'none' | 'cone' | 'symmetric' | 'blocked' | 'unknown';
  /** What is told to peers, the best first. */
  readonly candidates: readonly {
    readonly type: 'host' | 'reflexive' | 'mapped' | 'relayed' | 'onion';
    readonly address: string;
  }[];
  readonly tor: { readonly state: string; readonly progress: number; readonly detail: string };
  readonly dht: { readonly state: 'off' | 'starting' | 'ready' | 'failed'; readonly nodes: number };
  readonly stun: readonly { readonly server: string; readonly seen: string | null }[];
  readonly turn: readonly { readonly server: string; readonly relayed: string | null; readonly fault: string | null }[];
  readonly portMapping: { readonly by: 'pcp' | 'nat-pmp' | 'upnp' | null; readonly external: string | null };
}

/** One line of `peerfs doctor --network`. */
export interface NetworkFinding {
  readonly way: string;
  readonly works: boolean | null;
  /** In plain words. */
  readonly detail: string;
  /** What would help; empty when nothing is needed. */
  readonly advice: string;
}

/** A line of `peerfs watch --json`. */
export interface WatchEvent {
  /** ISO 8601. */
  readonly at: string;
  readonly event: 'peer' | 'path' | 'network' | 'tor' | 'dht' | 'invitation' | 'mount' | 'warning';
  /** Petname, where the event is about a peer. */
  readonly peer?: string;
  /** In plain words. */
  readonly text: string;
  /** The same for programs: what the event is about, by name. */
  readonly detail: Readonly<Record<string, string | number | boolean | null>>;
}

export interface NodeStatus {
  readonly pid: number;
  readonly version: string;
  readonly id: string;
  readonly name: string;
  readonly home: string;
  readonly startedAt: string;
  /** host:port. */
  readonly listening: readonly string[];
  readonly paths: readonly string[];
  readonly lan: boolean;
  readonly network: NetworkStatus;
  readonly mounts: readonly MountStatus[];
  readonly peers: readonly PeerStatus[];
  readonly shares: number;
  /** What was dropped, by reason. */
  readonly counters: Readonly<Record<string, number>>;
  /** How late the event loop came, milliseconds. */
  readonly eventLoopDelayMs: { readonly mean: number; readonly p99: number; readonly max: number };
  readonly memory: { readonly rssBytes: number; readonly heapBytes: number; readonly externalBytes: number };
  /** What the user should know about: a mount that ended by itself, a share whose folder is gone. */
  /** Copies of what could not be written to a peer, because others had changed the file. */
  readonly conflicts: { readonly directory: string; readonly copies: number };
  readonly warnings: readonly string[];
}

/** Method -> what it takes and gives. */
export interface ControlCalls {
  status: { params: Record<string, never>; result: NodeStatus };
  id: { params: Record<string, never>; result: IdResult };
  /** Tries each way to find and reach peers; says each finding as a progress line too. */
  'network.check': { params: Record<string, never>; result: readonly NetworkFinding[] };
  /** Ends only with the connection: each event is a progress line, JSON of a WatchEvent. */
  watch: { params: Record<string, never>; result: Record<string, never> };
  stop: { params: Record<string, never>; result: { readonly pid: number } };
  peers: { params: Record<string, never>; result: readonly PeerStatus[] };
  'peers.rename': { params: { name: string; newName: string }; result: { readonly name: string } };
  'peers.remove': { params: { name: string }; result: { readonly name: string } };
  invite: {
    params: { name?: string | undefined; lifeMs: number; addresses?: readonly string[] | undefined };
    result: InviteResult;
  };
  'invite.list': { params: Record<string, never>; result: readonly InvitationStatus[] };
  'invite.revoke': { params: { id: string }; result: { readonly id: string } };
  accept: {
    params: { invitation: string; code: string; name?: string | undefined };
    result: AcceptResult;
  };
  share: {
    params: {
      directory: string;
      name?: string | undefined;
      to?: readonly string[] | undefined;
      writable: boolean;
      idmap: 'user' | 'none';
      quota?: number | undefined;
    };
    result: ShareStatus;
  };
  shares: { params: Record<string, never>; result: readonly ShareStatus[] };
  /** Without `bytes`: no quota any more. */
  'shares.quota': { params: { name: string; bytes?: number | undefined }; result: ShareStatus };
  unshare: { params: { name: string }; result: { readonly name: string } };
  mount: {
    params: { directory?: string | undefined; allowOther: boolean; readOnly: boolean };
    result: MountStatus;
  };
  unmount: { params: { directory?: string | undefined }; result: { readonly directory: string } };
}

export type ControlMethod = keyof ControlCalls;

export interface ControlError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

export type ControlReply =
  { readonly progress: string } | { readonly result: unknown } | { readonly error: ControlError };

/**
 * Calls `onLine` for each whole line; destroys the socket when one is too long.
 * @param onLine gets the parsed JSON, or undefined when the line is none.
 */
export function readJsonLines(socket: Socket, onLine: (value: unknown) => void): void {
  let pieces: Buffer[] = [];
  let length = 0;
  socket.on('data', (chunk: Buffer) => {
    for (let rest = chunk; rest.length > 0;) {
      const end = rest.indexOf(10);
      const piece = end < 0 ? rest : rest.subarray(0, end);
      pieces.push(piece);
      length += piece.length;
      if (length > CONTROL_LINE_BYTES) {
        socket.destroy();
        return;
      }
      if (end < 0) return;
      const line = Buffer.concat(pieces).toString('utf8');
      pieces = [];
      length = 0;
      rest = rest.subarray(end + 1);
      onLine(parse(line));
    }
  });
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * A path for bind(2) and connect(2), which take at most 107 bytes: a longer one goes through the open folder.
 * @param folder descriptor of the folder that holds the socket, open while the path is used.
 */
export function socketAddress(path: string, folder: number): string {
  if (Buffer.byteLength(path) <= 107) return path;
  return `/proc/self/fd/${folder}/${path.slice(path.lastIndexOf('/') + 1)}`;
}
