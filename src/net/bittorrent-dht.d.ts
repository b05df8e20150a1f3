/** What src/net/dht-node.ts uses of the package `bittorrent-dht`, which has no types; its tests use a little more. */
declare module 'bittorrent-dht' {
  import type { EventEmitter } from 'node:events';

  /** Stands in for a dgram socket. */
  export interface DhtSocketFacade extends EventEmitter {
    bind(...args: unknown[]): void;
    address(): { readonly address: string; readonly port: number };
    send(
      bytes: Uint8Array,
      offset: number,
      length: number,
      port: number,
      host: string,
      done?: (error: Error | null) => void,
    ): void;
    close(): void;
  }

  /** Ed25519, over the bytes that BEP 44 signs. */
  export type Verify = (signature: Uint8Array, signed: Uint8Array, publicKey: Uint8Array) => boolean;

  export interface DhtOptions {
    readonly nodeId?: Uint8Array;
    readonly socket?: DhtSocketFacade;
    /** `host:port`; false: none, and no search for neighbours at the beginning. */
    readonly bootstrap?: readonly string[] | false;
    /** Queries under way at once. */
    readonly concurrency?: number;
    /** Milliseconds until a query counts as lost. */
    readonly timeout?: number;
    /** Milliseconds without a change after which nodes are pinged. */
    readonly timeBucketOutdated?: number;
    readonly maxTables?: number;
    readonly maxValues?: number;
    readonly maxPeers?: number;
    readonly verify?: Verify;
  }

  export interface MutableItem {
    readonly k: Buffer;
    readonly v: Buffer;
    readonly seq: number;
    readonly sign: (signed: Uint8Array) => Buffer;
  }

  export interface StoredValue {
    readonly v: Uint8Array;
    readonly k?: Uint8Array;
    readonly seq?: number;
  }

  export interface NodeAddress {
    readonly host: string;
    readonly port: number;
  }

  export default class DHT extends EventEmitter {
    constructor(options?: DhtOptions);
    readonly nodes: { count(): number };
    readonly destroyed: boolean;
    listen(port?: number, address?: string, listening?: () => void): void;
    address(): { readonly address: string; readonly port: number };
    addNode(node: NodeAddress): void;
    get(
      target: Uint8Array,
      options: { readonly cache?: boolean; readonly verify?: Verify },
      done: (error: Error | null, value: StoredValue | null) => void,
    ): void;
    /** @param done with the number of nodes that took it. */
    put(
      item: MutableItem,
      done: (error: (Error & { readonly code?: number }) | null, target?: Buffer, nodes?: number) => void,
    ): void;
    toJSON(): { readonly nodes: readonly NodeAddress[] };
    destroy(done?: () => void): void;
  }
}
