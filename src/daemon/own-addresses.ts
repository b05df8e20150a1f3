/** At which addresses a node can be reached, as its own network interfaces tell. */
import { networkInterfaces } from 'node:os';
import type { NetAddress } from '../wire/packets.ts';

/** What an invitation holds at most. */
const ADDRESSES = 16;

/** @param host what the node listens on; '::' and '0.0.0.0' stand for all interfaces. */
export function ownAddresses(host: string, port: number): NetAddress[] {
  if (host !== '::' && host !== '0.0.0.0') return [{ host, port }];
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const usable = all.filter(
    // Link-local addresses mean nothing without the name of an interface.
    (one) => !one.internal && !one.address.startsWith('fe80') && (one.family === 'IPv4' || host === '::'),
  );
  const order = (family: string) => (family === 'IPv4' ? 0 : 1);
  const hosts = usable.sort((a, b) => order(a.family) - order(b.family)).map((one) => one.address);
  // Without a network two nodes on one computer can still meet.
  const found = hosts.length > 0 ? hosts : ['127.0.0.1'];
  return found.slice(0, ADDRESSES).map((address) => ({ host: address, port }));
}
