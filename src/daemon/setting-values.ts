/**
 * What the values of settings look like, and how they are read: as bare text from a flag or the file, or as what JSON
 * text stood for. Owns shapes, bounds and the words for what is legal; not which settings there are (config.ts), nor
 * what becomes of a value. Each parser gives undefined for what is not legal. Light on purpose: the CLI loads this file.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { parseHostPort } from '../host-port.ts';

/** Kinds of path that a node can be told to use; src/net knows what they are. */
export const PATH_KINDS = ['tcp', 'udp', 'turn', 'tor'] as const;
export type ConfiguredPath = (typeof PATH_KINDS)[number];

/** A TURN server; its password is in a file. */
export interface TurnServerSetting {
  /** turn:host:port?transport=udp or tcp */
  readonly url: string;
  readonly username: string;
  readonly credentialFile: string;
}

/** Entries of a list, and UTF-16 units of one text. Tuning. */
const LONGEST_LIST = 64;
const LONGEST_TEXT = 1024;

const HIGHEST_PORT = 65_535;

export const oneOf = <const T extends string>(...values: readonly T[]) => ({
  parse: (value: unknown) => values.find((legal) => legal === value),
  legal: values.join(' or '),
});

/** `none`: no bound. */
export type Bound = number | 'none';

const SIZE_UNITS = ['', 'K', 'M', 'G', 'T'] as const;

/** @returns bytes, or undefined for what is no size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)\s*(?:([KMGT])(?:iB)?)?$/i.exec(text.trim());
  const [, digits, unit = ''] = match ?? [];
  const power = SIZE_UNITS.findIndex((known) => known === unit.toUpperCase());
  const bytes = Number(digits) * 1024 ** power;
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

/** As parseSize reads it, in the largest unit that leaves a whole number. */
export function formatSize(bytes: number): string {
  let power = 0;
  for (let left = bytes; left % 1024 === 0 && left > 0 && power < SIZE_UNITS.length - 1; left /= 1024) power += 1;
  return `${bytes / 1024 ** power}${SIZE_UNITS[power] ?? ''}`;
}

export const SIZE = {
  parse(value: unknown): Bound | undefined {
    if (value === 'none') return value;
    return typeof value === 'string' || typeof value === 'number' ? parseSize(String(value)) : undefined;
  },
  legal: 'a size such as 500M, 10G or 1.5T (powers of 1024; no unit: bytes), or none',
  show: (value: Bound) => (value === 'none' ? value : formatSize(value)),
};

export const COUNT = {
  parse(value: unknown): Bound | undefined {
    if (value === 'none') return value;
    const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
    return typeof number === 'number' && Number.isSafeInteger(number) && number > 0 ? number : undefined;
  },
  legal: 'a whole number from 1, or none',
};

export const TRUE_OR_FALSE = {
  parse: (value: unknown) =>
    value === true || value === 'true' ? true : value === false || value === 'false' ? false : undefined,
  legal: 'true or false',
};

export const ON_OR_OFF = {
  parse: (value: unknown) =>
    value === true || value === 'on' ? true : value === false || value === 'off' ? false : undefined,
  legal: 'on or off',
  show: (value: boolean) => (value ? 'on' : 'off'),
};

/** A list as JSON; its texts hold no comma, so that they may be separated by commas too. */
const listOf = (isLegal: (text: string) => boolean, legal: string) => ({
  parse(value: unknown): readonly string[] | undefined {
    const list = typeof value === 'string' ? value.split(',').map((text) => text.trim()) : value;
    if (!Array.isArray(list)) return undefined;
    return all(list, (text) => (typeof text === 'string' && isLegal(text) ? text : undefined));
  },
  legal,
});

function all<T>(list: readonly unknown[], parse: (value: unknown) => T | undefined): T[] | undefined {
  if (list.length > LONGEST_LIST) return undefined;
  const parsed = list.map(parse).filter((value) => value !== undefined);
  return parsed.length === list.length ? parsed : undefined;
}

const isLine = (text: string) => text !== '' && text.length <= LONGEST_TEXT && !/[\x00-\x1f\x7f]/.test(text);

/** Whole lines, which may hold commas: JSON alone. */
export const TEXTS = {
  parse: (value: unknown) =>
    Array.isArray(value)
      ? all(value, (text) => (typeof text === 'string' && isLine(text) ? text : undefined))
      : undefined,
  legal: 'a list of lines as JSON: ["one","another"]',
};

export const SERVERS = listOf(isServer, 'a list as JSON, ["host:port"]; [] for none');
export const BLOCKS = listOf(isBlock, 'a list as JSON, ["192.0.2.0/24","2001:db8::/32"]; [] for no rule');

export const TOR = {
  parse: (value: unknown) => (typeof value === 'string' && isTor(value) ? value : undefined),
  legal: 'auto, off, an absolute path, control:host:port or control:/path/of/socket',
};

export const TURN_SERVERS = {
  parse: (value: unknown) => (Array.isArray(value) ? all(value, turnServer) : undefined),
  legal: '[{"url":"turn:host:port?transport=udp","username":"name","credentialFile":"/path"}], transport udp or tcp',
};

export const PATHS = {
  parse: parsePaths,
  legal: `a list of ${PATH_KINDS.join(', ')} separated by commas`,
  show: (value: readonly string[]) => value.join(','),
};

export const DIRECTORY = {
  parse: absolute,
  legal: 'an absolute path, or one that begins with ~/',
};

/** A path, or '' for none. */
export const OPTIONAL_PATH = {
  parse: (value: unknown) => (value === '' ? '' : absolute(value)),
  legal: DIRECTORY.legal,
};

/** A place to send to: no port 0, and no host that no resolver would take. */
function isServer(text: string): boolean {
  const { host = '', port = 0 } = parseHostPort(text) ?? {};
  return port > 0 && text.length <= LONGEST_TEXT && (text.startsWith('[') ? isIPv6(host) : isHost(host));
}

/** A name or an IPv4 address. */
function isHost(host: string): boolean {
  if (/^[0-9.]+$/.test(host)) return isIPv4(host);
  return /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?$/.test(host);
}

function isTor(text: string): boolean {
  if (!isLine(text)) return false;
  if (text === 'auto' || text === 'off' || isAbsolute(text)) return true;
  const control = text.startsWith('control:') ? text.slice('control:'.length) : '';
  return isAbsolute(control) || isServer(control);
}

/** Its file is looked at when the node starts. */
function turnServer(value: unknown): TurnServerSetting | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { url, username, credentialFile } = value as Readonly<Record<string, unknown>>;
  const file = absolute(credentialFile);
  if (typeof url !== 'string' || typeof username !== 'string' || file === undefined) return undefined;
  return isTurnUrl(url) && isLine(username) ? { url, username, credentialFile: file } : undefined;
}

/** RFC 7065 without TLS: what goes through is sealed already. */
function isTurnUrl(url: string): boolean {
  const match = /^turn:(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]?]+))(?::(\d{1,5}))?(?:\?transport=(?:udp|tcp))?$/.exec(url);
  const [, bracketed, host = '', port = 1] = match ?? [];
  if (Number(port) < 1 || Number(port) > HIGHEST_PORT) return false;
  return bracketed === undefined ? isHost(host) : isIPv6(bracketed);
}

function isBlock(text: string): boolean {
  const [network = '', bits, rest] = text.split('/');
  // A zone names an interface of one computer: a rule knows none.
  const longest = network.includes('%') ? 0 : { 4: 32, 6: 128, 0: 0 }[isIP(network)];
  if (longest === undefined || longest === 0 || rest !== undefined) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= longest);
}

function parsePaths(value: unknown): readonly ConfiguredPath[] | undefined {
  const words = Array.isArray(value) ? (value as unknown[]) : typeof value === 'string' ? value.split(',') : [];
  const kinds = words.map((word) => PATH_KINDS.find((kind) => kind === String(word).trim()));
  const known = kinds.filter((kind) => kind !== undefined);
  return known.length > 0 && known.length === kinds.length && new Set(known).size === known.length ? known : undefined;
}

function absolute(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '' || /[\x00-\x1f\x7f]/.test(value)) return undefined;
  if (value === '~' || value.startsWith('~/')) return join(homedir(), value.slice(1));
  return isAbsolute(value) ? resolve(value) : undefined;
}
