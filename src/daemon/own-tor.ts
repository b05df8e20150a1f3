/** Tor as the settings ask for it. */
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Tor } from '../net/tor.ts';
import { openTor, type TorMode } from '../net/tor-client.ts';
import type { Config } from './config.ts';
import type { Home } from './home.ts';
import { readSecret } from './turn-servers.ts';

export interface OwnTorOptions {
  readonly home: Home;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
}

/** @returns undefined where Tor is not wanted. @throws CONFIG_INVALID for a password file that others can read. */
export function openOwnTor({ home, config, clock, log }: OwnTorOptions): Tor | undefined {
  if (config.tor === 'off' || !config.paths.includes('tor')) return undefined;
  return openTor({
    mode: torMode(config.tor),
    dataDirectory: join(home.directory, 'tor'),
    configLines: config['tor.config'],
    bridges: config['tor.bridges'],
    passwordFile: secretFile(config['tor.passwordFile']),
    clock,
    log,
  });
}

function torMode(setting: string): TorMode {
  if (setting === 'auto' || setting === 'off') return setting;
  const control = setting.startsWith('control:') ? setting.slice('control:'.length) : undefined;
  return control === undefined ? { program: setting } : { control };
}

function secretFile(file: string): string | undefined {
  if (file === '') return undefined;
  readSecret(file);
  return file;
}
