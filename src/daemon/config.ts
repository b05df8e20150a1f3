/**
 * The settings: every key with its default, its legal values and its documentation, and the file of the home that
 * holds what the user set. The one place for defaults.
 *
 * The file is lines of `key = value`; `#` begins a comment. `config set` changes one line and keeps the rest, so
 * that comments of the user survive. Light on purpose: the CLI loads this file.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { isName, fromText } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import { parseHostPort } from '../host-port.ts';
import type { LogLevel } from '../log.ts';
import {
  BLOCKS,
  COUNT,
  DIRECTORY,
  ON_OR_OFF,
  oneOf,
  OPTIONAL_PATH,
  PATH_KINDS,
  PATHS,
  SERVERS,
  SIZE,
  TEXTS,
  TOR,
  TRUE_OR_FALSE,
  TURN_SERVERS,
  type Bound,
  type ConfiguredPath,
  type TurnServerSetting,
} from './setting-values.ts';

/** Longest petname, bytes of UTF-8 (LIMITS.petnameBytes in src/wire/schema.ts). */
const PETNAME_BYTES = 64;

export interface Config {
  readonly name: string;
  /** `host:port`; see parseHostPort(). */
  readonly listen: string;
  /** Order is preference. */
  readonly paths: readonly ConfiguredPath[];
  readonly lan: boolean;
  /** auto; off; the absolute path of a tor program; control:host:port or control:/socket. */
  readonly tor: string;
  readonly 'tor.config': readonly string[];
  readonly 'tor.bridges': readonly string[];
  /** '' for none. */
  readonly 'tor.passwordFile': string;
  readonly dht: boolean;
  /** host:port each, as in stun.servers. */
  readonly 'dht.bootstrap': readonly string[];
  readonly 'stun.servers': readonly string[];
  readonly 'turn.servers': readonly TurnServerSetting[];
  readonly mailbox: boolean;
  readonly portMapping: boolean;
  /** CIDR blocks, as in addresses.deny. */
  readonly 'addresses.allow': readonly string[];
  readonly 'addresses.deny': readonly string[];
  /** '' for the folder `inbox` of the home. */
  readonly inbox: string;
  /** Of each inbox, bytes. */
  readonly 'inbox.quota': Bound;
  /** Of each inbox, files and folders. */
  readonly 'inbox.files': Bound;
  readonly mountpoint: string;
  readonly patienceMs: number;
  readonly links: 'confined' | 'verbatim';
  readonly fuse: 'kernel' | 'fuse-native';
  readonly logLevel: LogLevel;
}

export type ConfigKey = keyof Config;

interface Setting<T> {
  readonly doc: string;
  readonly default: () => T;
  /** @returns undefined for a value that is not legal. `value` is text, or what JSON text stood for. */
  readonly parse: (value: unknown) => T | undefined;
  /** What is legal, for the message. */
  readonly legal: string;
  /** Where the value is not shown as it is. */
  readonly show?: (value: T) => string;
}

const LONGEST_PATIENCE_MS = 3_600_000;
const INBOX_QUOTA_BYTES = 10 * 1024 ** 3;
const INBOX_FILES = 1_000_000;

export const SETTINGS: { readonly [K in ConfigKey]: Setting<Config[K]> } = {
  name: {
    doc: 'What this node calls itself to new peers; they may call it otherwise.',
    default: defaultName,
    parse: (value) => (typeof value === 'string' && petnameFault(value) === undefined ? value : undefined),
    legal: `a name of 1 to ${PETNAME_BYTES} bytes without "/" and control characters, not beginning with "."`,
  },
  listen: {
    doc: 'Address and port for incoming connections, UDP and TCP alike. Port 0: one is chosen at the first start and kept.',
    default: () => '[::]:0',
    parse: (value) => (typeof value === 'string' && parseHostPort(value) !== undefined ? value : undefined),
    legal: 'host:port, such as 0.0.0.0:41000, 192.0.2.7:0 or [::]:41000',
  },
  paths: {
    doc: 'Which ways to reach peers are used, the preferred first, separated by commas.',
    default: () => [...PATH_KINDS],
    ...PATHS,
  },
  lan: {
    doc: 'Whether peers are looked for on the local network (sealed multicast that tells strangers nothing).',
    default: () => true,
    ...TRUE_OR_FALSE,
  },
  tor: {
    doc: "Which Tor is used: auto (one that runs, else the system's program is started), off, the path of a program, control:host:port or control:/socket.",
    default: () => 'auto',
    ...TOR,
  },
  'tor.config': {
    doc: 'Lines added to the configuration of a tor that is started.',
    default: () => [],
    ...TEXTS,
  },
  'tor.bridges': {
    doc: 'Bridge lines for a tor that is started, as they are given out ("obfs4 192.0.2.1:443 ...").',
    default: () => [],
    ...TEXTS,
  },
  'tor.passwordFile': {
    doc: 'File (0600) with the password of a control port that wants one.',
    default: () => '',
    ...OPTIONAL_PATH,
  },
  dht: {
    doc: 'Whether peers are looked for in the BitTorrent DHT (sealed records that tell nobody whose they are).',
    default: () => true,
    ...ON_OR_OFF,
  },
  'dht.bootstrap': {
    doc: 'The DHT nodes that are asked first.',
    default: () => ['router.bittorrent.com:6881', 'dht.transmissionbt.com:6881', 'dht.libtorrent.org:25401'],
    ...SERVERS,
  },
  'stun.servers': {
    doc: 'Servers that say how this node is seen from outside; [] for none.',
    default: () => ['stun.l.google.com:19302', 'stun.cloudflare.com:3478'],
    ...SERVERS,
  },
  'turn.servers': {
    doc: 'Servers that relay where two routers cannot be crossed, with the files (0600) that hold the passwords.',
    default: () => [],
    ...TURN_SERVERS,
  },
  mailbox: {
    doc: 'Whether this node carries sealed signals between peers that both know it.',
    default: () => true,
    ...ON_OR_OFF,
  },
  portMapping: {
    doc: 'Whether the router is asked to open a port (PCP, NAT-PMP, UPnP).',
    default: () => true,
    ...TRUE_OR_FALSE,
  },
  'addresses.allow': {
    doc: 'Blocks of addresses that may be told to peers and tried; [] for all.',
    default: () => [],
    ...BLOCKS,
  },
  'addresses.deny': {
    doc: 'Blocks of addresses that may be neither told to peers nor tried.',
    default: () => [],
    ...BLOCKS,
  },
  inbox: {
    doc: 'Folder in which each peer has an inbox, a folder of its name; empty: the folder "inbox" of the home.',
    default: () => '',
    ...OPTIONAL_PATH,
  },
  'inbox.quota': {
    doc: 'How much a peer may put into its inbox.',
    default: () => INBOX_QUOTA_BYTES,
    ...SIZE,
  },
  'inbox.files': {
    doc: 'How many files and folders a peer may put into its inbox.',
    default: () => INBOX_FILES,
    ...COUNT,
  },
  mountpoint: {
    doc: 'Where `peerfs mount` mounts when no folder is named.',
    default: () => join(homedir(), 'peers'),
    ...DIRECTORY,
  },
  patienceMs: {
    doc: 'How long an operation waits for a silent peer before it fails, milliseconds.',
    default: () => 15_000,
    parse: (value) => {
      const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
      if (typeof number !== 'number' || !Number.isInteger(number)) return undefined;
      return number >= 1000 && number <= LONGEST_PATIENCE_MS ? number : undefined;
    },
    legal: `a whole number from 1000 to ${LONGEST_PATIENCE_MS}`,
  },
  links: {
    doc: "What becomes of a peer's symbolic links: confined lets them lead only inside its folder, verbatim anywhere.",
    default: () => 'confined',
    ...oneOf('confined', 'verbatim'),
  },
  fuse: {
    doc: 'How the mount is made: kernel speaks to /dev/fuse; fuse-native is the npm package over libfuse 2, with less to it.',
    default: () => 'kernel',
    ...oneOf('kernel', 'fuse-native'),
  },
  logLevel: {
    doc: 'How much the log tells. debug names files and addresses.',
    default: () => 'info',
    ...oneOf('error', 'warn', 'info', 'debug'),
  },
};

export const CONFIG_KEYS = Object.keys(SETTINGS) as ConfigKey[];

/** Parses a value for a key, as text from a flag or from the file (bare text, or JSON). @throws CONFIG_INVALID */
export function parseSetting<K extends ConfigKey>(key: K, text: string): Config[K] {
  // What is legal fits on one line of the file.
  const parsed = /[\x00-\x1f\x7f]/.test(text.trim()) ? undefined : SETTINGS[key].parse(unquote(text));
  if (parsed !== undefined) return parsed;
  throw new PeerfsError('CONFIG_INVALID', `${key}: ${JSON.stringify(text)} is not a legal value`, {
    hint: `Legal is ${SETTINGS[key].legal}.`,
  });
}

/** @throws CONFIG_INVALID when there is no such key. */
export function configKey(text: string): ConfigKey {
  const key = CONFIG_KEYS.find((known) => known === text);
  if (key !== undefined) return key;
  throw new PeerfsError('CONFIG_INVALID', `there is no setting "${text}"`, {
    hint: `Settings: ${CONFIG_KEYS.join(', ')}.`,
  });
}

/** Text values given by flags; absent ones are as the file or the default says. */
export type ConfigOverrides = { readonly [K in ConfigKey]?: string };

/** Flag before file before default. @throws CONFIG_INVALID, also for unknown keys in the file. */
export function loadConfig(file: string, overrides: ConfigOverrides = {}): Config {
  const set = readSettings(file);
  const value = <K extends ConfigKey>(key: K): Config[K] => {
    const text = overrides[key] ?? set.get(key);
    return text === undefined ? SETTINGS[key].default() : parseSetting(key, text);
  };
  return {
    name: value('name'),
    listen: value('listen'),
    paths: value('paths'),
    lan: value('lan'),
    tor: value('tor'),
    'tor.config': value('tor.config'),
    'tor.bridges': value('tor.bridges'),
    'tor.passwordFile': value('tor.passwordFile'),
    dht: value('dht'),
    'dht.bootstrap': value('dht.bootstrap'),
    'stun.servers': value('stun.servers'),
    'turn.servers': value('turn.servers'),
    mailbox: value('mailbox'),
    portMapping: value('portMapping'),
    'addresses.allow': value('addresses.allow'),
    'addresses.deny': value('addresses.deny'),
    inbox: value('inbox'),
    'inbox.quota': value('inbox.quota'),
    'inbox.files': value('inbox.files'),
    mountpoint: value('mountpoint'),
    patienceMs: value('patienceMs'),
    links: value('links'),
    fuse: value('fuse'),
    logLevel: value('logLevel'),
  };
}

/** What the user set, as text. An absent file is an empty one. @throws CONFIG_INVALID naming the line. */
export function readSettings(file: string): Map<ConfigKey, string> {
  const found = new Map<ConfigKey, string>();
  for (const [index, line] of readLines(file).entries()) {
    const text = line.trim();
    if (text === '' || text.startsWith('#')) continue;
    const match = LINE.exec(text);
    if (match?.[1] === undefined || match[2] === undefined) {
      throw new PeerfsError('CONFIG_INVALID', `${file}: line ${index + 1} is not "key = value"`, {
        hint: 'Mend or remove the line; "#" begins a comment.',
      });
    }
    const key = CONFIG_KEYS.find((known) => known === match[1]);
    if (key === undefined) {
      throw new PeerfsError('CONFIG_INVALID', `${file}: line ${index + 1}: there is no setting "${match[1]}"`, {
        hint: `Mend or remove the line. Settings: ${CONFIG_KEYS.join(', ')}.`,
      });
    }
    found.set(key, match[2]);
  }
  return found;
}

/** Writes one setting; undefined restores the default. The file is replaced whole, 0600. @throws CONFIG_INVALID */
export function writeSetting(file: string, key: ConfigKey, text: string | undefined): void {
  if (text !== undefined) parseSetting(key, text);
  const before = readLines(file);
  const lines = before.length > 0 ? before : documentedLines();
  const isActive = (line: string) => LINE.exec(line.trim())?.[1] === key;
  const isExample = (line: string) => line.startsWith('# ') && LINE.exec(line.slice(2).trim())?.[1] === key;
  const active = lines.findIndex(isActive);
  const at = active >= 0 ? active : lines.findIndex(isExample);
  const line = text === undefined ? exampleLine(key) : `${key} = ${text.trim()}`;
  if (at >= 0) lines[at] = line;
  else lines.push(`# ${SETTINGS[key].doc}`, line);
  const temporary = `${file}.new`;
  try {
    writeFileSync(temporary, `${lines.join('\n').trimEnd()}\n`, { mode: 0o600 });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

const LINE = /^([A-Za-z]+(?:\.[A-Za-z]+)?)\s*=\s*(.*)$/;

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

function exampleLine(key: ConfigKey): string {
  return `# ${key} = ${showSetting(key, SETTINGS[key].default())}`;
}

function documentedLines(): string[] {
  return [
    '# Settings of this peerfs node, read when it starts. A flag of the command line wins over a setting.',
    '',
    ...CONFIG_KEYS.flatMap((key) => [
      `# ${SETTINGS[key].doc}`,
      `# Legal: ${SETTINGS[key].legal}.`,
      exampleLine(key),
      '',
    ]),
  ];
}

/** A value as the file and the terminal have it. */
export function showSetting<K extends ConfigKey>(key: K, value: Config[K]): string {
  const { show } = SETTINGS[key];
  if (show !== undefined) return show(value);
  if (typeof value === 'object') return JSON.stringify(value);
  const plain = String(value);
  // What would be read as something else stands in quotation marks.
  return unquote(plain) === plain ? plain : JSON.stringify(plain);
}

function unquote(text: string): unknown {
  const trimmed = text.trim();
  if (!/^["[]/.test(trimmed)) return trimmed;
  try {
    return JSON.parse(trimmed) as unknown;
  } catch {
    return trimmed;
  }
}

/** The slash, control characters, and what turns the direction of writing: one name must not look like another. */
const ILLEGAL_IN_NAMES = /[/\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/** Why the text cannot be a petname or a share's name; undefined if it can. */
export function petnameFault(text: string): string | undefined {
  if (text === '') return 'it is empty';
  if (text.startsWith('.')) return 'it begins with "."';
  if (ILLEGAL_IN_NAMES.test(text)) return 'it holds "/" or a control character';
  const bytes = fromText(text);
  if (bytes.length > PETNAME_BYTES) return `it is longer than ${PETNAME_BYTES} bytes`;
  return isName(bytes) ? undefined : 'it is no legal file name';
}

/** A petname made of arbitrary text: what is illegal is replaced, what is too long cut. */
export function toPetname(text: string, otherwise: string): string {
  let name = text
    .normalize('NFC')
    .replace(new RegExp(ILLEGAL_IN_NAMES, 'g'), '-')
    .replaceAll('\ufffd', '-')
    .trim()
    .replace(/^\.+/, '');
  while (Buffer.byteLength(name) > PETNAME_BYTES) name = Array.from(name).slice(0, -1).join('');
  return petnameFault(name) === undefined ? name : otherwise;
}

function defaultName(): string {
  const user = userInfo().username;
  return toPetname(user === 'root' ? hostname() : user, 'peer');
}
