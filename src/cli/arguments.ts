/** Flags and arguments that several commands share, and how their text is understood. */
import { Flags } from '@oclif/core';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ConfigOverrides } from '../daemon/config.ts';
import { SIZE } from '../daemon/setting-values.ts';
import { PeerfsError } from '../errors.ts';
import { parseHostPort } from '../host-port.ts';

/** Flags of every command that may start a node. */
export const startFlags = {
  foreground: Flags.boolean({ summary: 'Stay in the foreground and log to standard error, for service managers.' }),
  listen: Flags.string({
    summary: 'Address and port for incoming connections, UDP and TCP. Port 0: chosen once and kept.',
    helpValue: '<host:port>',
  }),
  paths: Flags.string({
    summary: 'Which ways to peers are used, the preferred first, of tcp, udp, turn and tor.',
    helpValue: '<list>',
  }),
  inbox: Flags.string({ summary: 'Folder in which each peer gets an inbox of its name.', helpValue: '<dir>' }),
  tor: Flags.string({
    summary: 'Which Tor is used: auto, off, the path of a program, control:<host:port> or control:<socket>.',
    helpValue: '<tor>',
  }),
  'tor-bridge': Flags.string({
    summary: 'A bridge line for a tor that is started; may be given several times.',
    helpValue: '<line>',
    multiple: true,
    multipleNonGreedy: true,
  }),
  dht: Flags.string({
    summary: 'Look for peers in the BitTorrent DHT: on, off, or the nodes to ask first.',
    helpValue: '<on|off|host:port,...>',
  }),
  lan: Flags.boolean({ summary: 'Look for peers on the local network.', allowNo: true }),
  'passphrase-file': Flags.string({
    summary: 'A file (0600) with the passphrase of a sealed identity; else it is asked.',
    helpValue: '<file>',
  }),
  fuse: Flags.string({ summary: 'How mounts are made: kernel (/dev/fuse) or fuse-native.', helpValue: '<binding>' }),
};

export interface StartFlags {
  readonly listen?: string | undefined;
  readonly paths?: string | undefined;
  readonly inbox?: string | undefined;
  readonly lan?: boolean | undefined;
  readonly tor?: string | undefined;
  readonly 'tor-bridge'?: readonly string[] | undefined;
  readonly dht?: string | undefined;
  readonly fuse?: string | undefined;
}

/** What the flags say about settings; a flag that was not given says nothing. */
export function overridesOf(flags: StartFlags): ConfigOverrides {
  return {
    ...(flags.listen === undefined ? {} : { listen: flags.listen }),
    ...(flags.paths === undefined ? {} : { paths: flags.paths }),
    ...(flags.inbox === undefined ? {} : { inbox: resolve(flags.inbox) }),
    ...(flags.lan === undefined ? {} : { lan: String(flags.lan) }),
    ...(flags.tor === undefined ? {} : { tor: flags.tor.startsWith('.') ? resolve(flags.tor) : flags.tor }),
    ...(flags['tor-bridge'] === undefined ? {} : { 'tor.bridges': JSON.stringify(flags['tor-bridge']) }),
    ...dhtOverrides(flags.dht),
    ...(flags.fuse === undefined ? {} : { fuse: flags.fuse }),
  };
}

function dhtOverrides(dht: string | undefined): ConfigOverrides {
  if (dht === undefined) return {};
  return dht === 'on' || dht === 'off' ? { dht } : { dht: 'on', 'dht.bootstrap': dht };
}

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const LONGEST_LIFE_MS = 366 * 86_400_000;

/** @returns milliseconds. @throws USAGE */
export function parseDuration(text: string): number {
  const match = /^(\d+)\s*([smhdw])$/.exec(text.trim());
  const ms = Number(match?.[1]) * (UNIT_MS[match?.[2] ?? ''] ?? Number.NaN);
  if (ms > 0 && ms <= LONGEST_LIFE_MS) return ms;
  throw new PeerfsError('USAGE', `"${text}" is not a length of time`, {
    hint: 'Write a number and a unit, up to a year: 90s, 30m, 24h, 7d, 4w.',
  });
}

/** @returns bytes, or undefined for none. @throws USAGE */
export function parseQuota(text: string): number | undefined {
  const bytes = SIZE.parse(text);
  if (bytes !== undefined) return bytes === 'none' ? undefined : bytes;
  throw new PeerfsError('USAGE', `"${text}" is not a size`, { hint: `Write ${SIZE.legal}.` });
}

/** @throws USAGE unless it is host:port. */
export function checkAddress(text: string): string {
  const parsed = parseHostPort(text);
  if (parsed !== undefined && parsed.port > 0) return text;
  throw new PeerfsError('USAGE', `"${text}" is not an address`, {
    hint: 'Write host:port, such as 203.0.113.7:41000.',
  });
}

const INVITATION_BEGINS = 'peerfs-invite';
/** Far above the longest invitation; what is longer is some other file. */
const INVITATION_FILE_BYTES = 64 * 1024;

/** An invitation's text from the command line, a file, or standard input (`-`). @throws INVITE_MALFORMED */
export function readInvitation(argument: string): string {
  if (argument.trim().startsWith(INVITATION_BEGINS)) return argument;
  if (argument === '-') return outOfLetter(readText(0, 'standard input'));
  if (existsSync(argument)) return outOfLetter(readText(argument, argument));
  throw new PeerfsError('INVITE_MALFORMED', `"${argument.slice(0, 60)}" is neither an invitation nor a file`, {
    hint: `An invitation begins with "${INVITATION_BEGINS}"; paste it whole, or name the file that holds it.`,
  });
}

/** The invitation in a mail that was saved whole: from its first word to the next empty line, quoted or not. */
function outOfLetter(text: string): string {
  const begin = text.indexOf(INVITATION_BEGINS);
  if (begin < 0) return text;
  const rest = text.slice(begin);
  const end = rest.search(/\n[\s>]*?\n/);
  return end < 0 ? rest : rest.slice(0, end);
}

function readText(from: number | string, name: string): string {
  try {
    const text = readFileSync(from, 'utf8');
    if (text.length <= INVITATION_FILE_BYTES) return text;
  } catch (error) {
    throw new PeerfsError('INVITE_MALFORMED', `the file ${name} cannot be read`, {
      hint: 'Name a file that holds an invitation.',
      cause: error,
    });
  }
  throw new PeerfsError('INVITE_MALFORMED', `the file ${name} is too long for an invitation`, {
    hint: 'Name a file that holds nothing but an invitation.',
  });
}
