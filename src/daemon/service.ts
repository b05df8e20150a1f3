/** The systemd user unit that runs `peerfs mount --foreground`. Light on purpose: the CLI loads this file. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { EXIT, PeerfsError } from '../errors.ts';
import { homeDirectory } from './home.ts';

const UNIT = 'peerfs.service';

export interface ServiceResult {
  /** Path of the unit file. */
  readonly unit: string;
  /** What was done or remains to be done, for people. */
  readonly advice: readonly string[];
}

/** @param enable also enables and starts it, where a systemd of the user runs. */
export function installService(home: string, enable: boolean): ServiceResult {
  const unit = unitFile();
  mkdirSync(dirname(unit), { recursive: true });
  writeFileSync(unit, unitText(home));
  if (!enable) return { unit, advice: [`Start it with: systemctl --user enable --now ${UNIT}`] };
  const failure = systemctl('daemon-reload') ?? systemctl('enable', '--now', UNIT);
  if (failure !== undefined) {
    return { unit, advice: [`systemctl --user: ${failure}`, `Later: systemctl --user enable --now ${UNIT}`] };
  }
  return { unit, advice: ['It is enabled and started.', 'To run it without a login: loginctl enable-linger'] };
}

/** @throws ENOENT when none is installed. */
export function removeService(): ServiceResult {
  const unit = unitFile();
  if (!existsSync(unit)) {
    throw new PeerfsError('ENOENT', `no service is installed (${unit})`, { hint: 'peerfs service install' });
  }
  const failure = systemctl('disable', '--now', UNIT);
  rmSync(unit);
  systemctl('daemon-reload');
  return { unit, advice: failure === undefined ? [] : [`systemctl --user: ${failure}`] };
}

function unitFile(): string {
  const config = process.env['XDG_CONFIG_HOME'];
  return join(config?.startsWith('/') === true ? config : join(homedir(), '.config'), 'systemd', 'user', UNIT);
}

/** @returns why it failed. */
function systemctl(...args: string[]): string | undefined {
  const done = spawnSync('systemctl', ['--user', ...args], { encoding: 'utf8' });
  if (done.error !== undefined) return 'there is no systemctl';
  return done.status === 0 ? undefined : done.stderr.trim();
}

/** systemd.syntax(7): in double quotes, with \\, " and % escaped; $ doubled where commands are expanded. */
function quote(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%').replaceAll('$', '$$$$').replaceAll('\n', '\\n')}"`;
}

function unitText(home: string): string {
  const cli = join(import.meta.dirname, '..', 'cli', 'main.js');
  const isDefault = home === homeDirectory(undefined, {});
  return `[Unit]
Description=peerfs: the peers as folders

[Service]
ExecStart=${quote(process.execPath)} ${quote(cli)} mount --foreground
${isDefault ? '' : `Environment=${quote(`PEERFS_HOME=${home}`).replaceAll('$$', '$')}\n`}Restart=on-failure
# A wrong setting, or a node that runs already, does not change by trying again.
RestartPreventExitStatus=${EXIT.usage} ${EXIT.nodeAlreadyRunning}
RestartSec=5
TimeoutStopSec=40
KillMode=mixed

[Install]
WantedBy=default.target
`;
}
