/**
 * The default gateway: the router that leads to the internet, and the address of this computer on the way to it. Reads
 * the kernel's table (/proc/net/route, proc(5)) and the interfaces; keeps nothing. IPv4 only: with IPv6 nobody
 * translates addresses.
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces, endianness } from 'node:os';
import type { Interfaces } from './local-addresses.ts';

export interface Gateway {
  /** IPv4 address of the router. */
  readonly gateway: string;
  /** The address of this computer in the router's network. */
  readonly local: string;
}

export interface DefaultRoute {
  readonly interfaceName: string;
  readonly gateway: string;
}

/** Specification: linux/route.h. */
const RTF_UP = 1;
const RTF_GATEWAY = 2;

/** Tuning: routes that are looked at. */
const MAX_ROUTES = 4096;

/** The kernel prints the four bytes of an address as one number of the machine. */
function addressOf(hex: string): string {
  const bytes = [...Buffer.from(hex, 'hex')];
  return (endianness() === 'LE' ? bytes.reverse() : bytes).join('.');
}

/**
 * The default route with the least metric.
 * @param table what /proc/net/route says; lines that are not understood are passed over.
 */
export function parseDefaultRoute(table: string): DefaultRoute | undefined {
  let best: (DefaultRoute & { readonly metric: number }) | undefined;
  for (const line of table.split('\n', MAX_ROUTES).slice(1)) {
    const [interfaceName = '', destination, gateway = '', flags = '', , , metricText = '', mask] = line
      .trim()
      .split(/\s+/);
    if (destination !== '00000000' || mask !== '00000000' || !/^[0-9A-Fa-f]{8}$/.test(gateway)) continue;
    const flagBits = parseInt(flags, 16);
    const isUsable = (flagBits & RTF_UP) !== 0 && (flagBits & RTF_GATEWAY) !== 0;
    const metric = Number(metricText);
    if (!isUsable || !Number.isInteger(metric)) continue;
    if (best === undefined || metric < best.metric) best = { interfaceName, gateway: addressOf(gateway), metric };
  }
  return best === undefined ? undefined : { interfaceName: best.interfaceName, gateway: best.gateway };
}

function numberOf(host: string): number {
  return host.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

/** The address of the route's interface in the same network as the gateway, or its first one. */
export function localAddressTo(route: DefaultRoute, interfaces: Interfaces): string | undefined {
  const own = (interfaces[route.interfaceName] ?? []).filter(({ family }) => family === 'IPv4');
  const router = numberOf(route.gateway);
  const sharesNetwork = ({ address, netmask }: { readonly address: string; readonly netmask: string }): boolean =>
    (numberOf(address) & numberOf(netmask)) === (router & numberOf(netmask));
  return (own.find(sharesNetwork) ?? own[0])?.address;
}

/** @returns undefined when there is no default route of IPv4 by a router. Never throws. */
export function defaultGateway(): Gateway | undefined {
  let route: DefaultRoute | undefined;
  let local: string | undefined;
  try {
    route = parseDefaultRoute(readFileSync('/proc/net/route', 'latin1'));
    if (route !== undefined) local = localAddressTo(route, networkInterfaces());
  } catch {
    return undefined;
  }
  return route === undefined || local === undefined ? undefined : { gateway: route.gateway, local };
}
