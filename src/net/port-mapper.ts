/**
 * What a way of asking a router for a port has to offer: PCP with NAT-PMP (pcp.ts) and UPnP (upnp.ts). Which is asked,
 * and when again, is port-mapping.ts.
 */
import type { MappedProtocol } from '../wire/pcp.ts';
import type { UdpAddress } from './udp-port.ts';

export type MappingProtocol = 'pcp' | 'nat-pmp' | 'upnp';

export interface MappingRequest {
  readonly protocol: MappedProtocol;
  readonly internalPort: number;
  /** The one that is preferred; the router may give another. */
  readonly externalPort: number;
}

export interface Mapped {
  readonly by: MappingProtocol;
  readonly protocol: MappedProtocol;
  readonly internalPort: number;
  readonly external: UdpAddress;
  /** From now. Infinity: until it is taken down. Milliseconds. */
  readonly lifetimeMs: number;
}

/** What a router said when it was only asked whether it would open ports. */
export interface MappingAnswer {
  readonly by: MappingProtocol;
  readonly works: boolean;
  /** In plain words. */
  readonly detail: string;
}

export interface PortMapper {
  /** How often `holds` is to be asked. Milliseconds. */
  readonly checkMs: number;
  /** Does what can be done ahead of map. Never rejects. */
  prepare(): Promise<void>;
  /**
   * Also renews.
   * @throws PeerfsError ETIMEDOUT when no router answers, EACCES when it refuses, CANCELLED after close.
   */
  map(request: MappingRequest): Promise<Mapped>;
  /**
   * Whether the router has not forgotten what it mapped.
   * @throws as map.
   */
  holds(mapped: Mapped): Promise<boolean>;
  /** @throws as map. */
  unmap(mapped: Mapped): Promise<void>;
  /** Asks by each protocol whether ports would be opened; changes nothing. Never rejects. */
  probe(): Promise<readonly MappingAnswer[]>;
  /** Idempotent. What waits is rejected. Mappings stay. */
  close(): void;
}
