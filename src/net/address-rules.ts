/**
 * AddressRules: which addresses may be told to peers and tried, by the user's CIDR rules; and which addresses mean
 * nothing outside their own network. Pure.
 */
import { BlockList, isIP } from 'node:net';
import { PeerfsError } from '../errors.ts';

export interface AddressRules {
  /** @param host numeric, IPv6 without brackets or zone; anything else is not for the rules to judge. */
  allows(host: string): boolean;
}

/**
 * @param allow CIDR blocks, of which an address must be in one; none: all.
 * @param deny CIDR blocks, of which an address must be in none.
 * @throws CONFIG_INVALID for what is no block.
 */
export function createAddressRules(allow: readonly string[], deny: readonly string[]): AddressRules {
  const allowed = blocksOf(allow);
  const denied = blocksOf(deny);
  return {
    allows(host) {
      const family = familyOf(host);
      if (family === undefined) return true;
      return (allow.length === 0 || allowed.check(host, family)) && !denied.check(host, family);
    },
  };
}

function blocksOf(rules: readonly string[]): BlockList {
  const list = new BlockList();
  for (const rule of rules) {
    const [network = '', bits, rest] = rule.split('/');
    const family = familyOf(network);
    const longest = family === 'ipv6' ? 128 : 32;
    const prefix = bits === undefined ? longest : Number(bits);
    const isSound = rest === undefined && /^\d{1,3}$/.test(bits ?? '0') && prefix <= longest;
    if (family === undefined || !isSound) {
      throw new PeerfsError('CONFIG_INVALID', `"${rule}" is no block of addresses`, {
        hint: 'Write it as 192.0.2.0/24 or 2001:db8::/32.',
      });
    }
    list.addSubnet(network, prefix, family);
  }
  return list;
}

/** IANA's special-purpose address registries: not reachable over the internet. */
const LOCAL = blocksOf([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '224.0.0.0/3',
  '::/127',
  'fc00::/7',
  'fe80::/10',
  'ff00::/8',
]);

/** Whether the address means something only in its own network. */
export function isLocalAddress(host: string): boolean {
  const family = familyOf(host);
  return family !== undefined && LOCAL.check(host, family);
}

const LOOPBACK = blocksOf(['127.0.0.0/8', '0.0.0.0/8', '::/127']);

/** Whether it is an address of the computer itself. */
export function isLoopback(host: string): boolean {
  const family = familyOf(host);
  return family !== undefined && LOOPBACK.check(host, family);
}

/** Not of one computer: those that stand for "this" one or for none, groups, all (RFC 6890, RFC 5771), and reserved ones. */
const NO_HOST = blocksOf(['0.0.0.0/8', '224.0.0.0/3', '::/128', 'ff00::/8']);
const ALL_IPV4 = blocksOf(['0.0.0.0/0']);

/**
 * Whether it is the numeric address of one computer, in the form that it has everywhere: without a zone, which only its
 * own computer understands, and IPv4 not in the form of IPv6.
 */
export function isHostAddress(host: string): boolean {
  const family = familyOf(host);
  if (family === undefined || host.includes('%') || NO_HOST.check(host, family)) return false;
  return family === 'ipv4' || !ALL_IPV4.check(host, 'ipv6');
}

function familyOf(host: string): 'ipv4' | 'ipv6' | undefined {
  const version = isIP(host);
  return version === 4 ? 'ipv4' : version === 6 ? 'ipv6' : undefined;
}
