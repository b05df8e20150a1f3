/**
 * The addresses of this host at which others may reach the node: for invitations, and for saying hello on each network.
 * Reads the interfaces; keeps nothing.
 */
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os';

export interface LocalAddress {
  /** Numeric, IPv6 without brackets or zone. */
  readonly host: string;
  readonly family: 4 | 6;
  /** Of the loopback interface. */
  readonly internal: boolean;
}

export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** What an address to listen on covers. */
function covers(listenHost: string, { host, family, internal }: LocalAddress): boolean {
  if (listenHost === host) return true;
  if (internal) return false;
  return listenHost === '::' || (listenHost === '0.0.0.0' && family === 4);
}

/** Addresses that mean something without naming an interface: fe80::/10 does not. */
function all(interfaces: Interfaces): LocalAddress[] {
  return Object.values(interfaces)
    .flatMap((addresses) => addresses ?? [])
    .filter(({ address }) => !/^fe[89ab]/i.test(address))
    .map(({ address, family, internal }) => ({ host: address, family: family === 'IPv4' ? 4 : 6, internal }));
}

/**
 * Where a node that listens on `listenHost` can be reached, IPv4 first. Loopback only when it listens on that alone.
 * @param listenHost numeric; '::' and '0.0.0.0' for all.
 */
export function localAddresses(listenHost: string, interfaces: Interfaces = networkInterfaces()): LocalAddress[] {
  const found = all(interfaces).filter((address) => covers(listenHost, address));
  const unique = found.filter(({ host }, at) => found.findIndex((other) => other.host === host) === at);
  return unique.sort((a, b) => a.family - b.family);
}
