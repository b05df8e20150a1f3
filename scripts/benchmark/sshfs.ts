/** The rival: sshfs with its defaults, by an sshd of the run's own with keys of its own. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { eventually, run, sh } from '../../test/e2e/lab.ts';

export interface SshServer {
  /** Mounts `folder` of the server; connections made now use what the link says now. @returns the mountpoint. */
  mount(folder: string, name: string): Promise<string>;
  close(): void;
}

export interface SshServerOptions {
  readonly directory: string;
  readonly address: string;
  /** argv prefixes for the server and for the mounting side. */
  readonly serverEnter: readonly string[];
  readonly clientEnter: readonly string[];
}

export async function startSshServer(options: SshServerOptions): Promise<SshServer> {
  const { directory, address, serverEnter, clientEnter } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  await sh('ssh-keygen -q -t ed25519 -N "" -f "$1/host" && ssh-keygen -q -t ed25519 -N "" -f "$1/user"', [directory]);
  writeFileSync(join(directory, 'authorized_keys'), readFileSync(join(directory, 'user.pub')), { mode: 0o600 });
  const port = serverEnter.length > 0 ? 2222 : await freePort();
  writeFileSync(
    join(directory, 'sshd_config'),
    `Port ${port}\nListenAddress ${address}\nHostKey ${directory}/host\nAuthorizedKeysFile ${directory}/authorized_keys\n` +
      `PidFile ${directory}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n` +
      'UseDNS no\nSubsystem sftp internal-sftp\n',
  );
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  const [program, ...args] = [...serverEnter, '/usr/sbin/sshd', '-D', '-f', join(directory, 'sshd_config')];
  const sshd = spawn(program, args, { stdio: 'ignore' });
  const mountpoints: string[] = [];
  const close = (): void => {
    for (const mountpoint of mountpoints) spawnSync('umount', ['-l', mountpoint]);
    // A connection whose link has gone would hold both of its ends for ever.
    for (const pid of [...processesWith(`IdentityFile=${directory}/user`), ...childrenOf(sshd.pid)]) end(pid);
    sshd.kill();
  };
  const ssh = `IdentityFile=${directory}/user,StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,LogLevel=ERROR`;
  return {
    async mount(folder, name) {
      const mountpoint = join(directory, name);
      mkdirSync(mountpoint, { recursive: true });
      const from = `${userInfo().username}@${address}:${folder}`;
      const argv = [...clientEnter, 'sshfs', '-p', String(port), '-o', ssh, from, mountpoint];
      await eventually('sshfs mounts', 10_000, async () => ((await run(argv)).status === 0 ? true : undefined));
      mountpoints.push(mountpoint);
      return mountpoint;
    },
    close,
  };
}

/** Processes with the word in their command line: sshfs starts ssh in a session of its own. */
function processesWith(word: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && contentsOf(`/proc/${name}/cmdline`).includes(word))
    .map(Number);
}

function childrenOf(pid: number | undefined): number[] {
  return contentsOf(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
}

function end(pid: number): void {
  try {
    process.kill(pid);
  } catch {
    // It has ended by itself.
  }
}

/** Empty if the process has gone meanwhile. */
function contentsOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
