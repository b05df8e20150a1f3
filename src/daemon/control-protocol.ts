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

/** A row of `peerfs peers --json`. */
export interface PeerStatus {
  readonly name: string;
  readonly id: string;
  readonly state: ChannelState;
  readonly path: PathKind | null;
  readonly rttMs: number | null;
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
  readonly mounts: readonly MountStatus[];
  readonly peers: readonly PeerStatus[];
  readonly shares: number;
  /** What was dropped, by reason. */
  readonly counters: Readonly<Record<string, number>>;
  /** How late the event loop came, milliseconds. */
  readonly eventLoopDelayMs: { readonly mean: number; readonly p99: number; readonly max: number };
  readonly memory: { readonly rssBytes: number; readonly heapBytes: number; readonly externalBytes: number };
  /** What the user should know about: a mount that ended by itself, a share whose folder is gone. */
  readonly warnings: readonly string[];
}

/** Method -> what it takes and gives. */
export interface ControlCalls {
  status: { params: Record<string, never>; result: NodeStatus };
  id: { params: Record<string, never>; result: IdResult };
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
    };
    result: ShareStatus;
  };
  shares: { params: Record<string, never>; result: readonly ShareStatus[] };
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
