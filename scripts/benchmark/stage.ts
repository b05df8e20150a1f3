/**
 * Where workloads run: a serving host, mounting hosts, and the rival's mounts of the same folder, all in memory, on
 * loopback or over an emulated link. One stage stands at a time.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHost, introduce, stopHosts, untilLive, type Host } from '../../test/e2e/lab.ts';
import { openLink, type CongestionControl, type Link, type LinkOptions } from './link.ts';
import { startSshServer } from './sshfs.ts';

/** Who mounts: peerfs by one kind of path, or sshfs by TCP with one congestion control. */
export type SystemName = 'tcp' | 'udp' | 'sshfs' | 'sshfs-bbr';

export interface System {
  readonly name: SystemName;
  /** The folder under test, as it is mounted. */
  readonly mounted: string;
  /** The mounting node; undefined for a rival. */
  readonly host: Host | undefined;
}

export interface Stage {
  /** Scratch space of the run, in memory. */
  readonly directory: string;
  /** The folder under test at the serving side. */
  readonly served: string;
  readonly server: Host;
  readonly systems: readonly System[];
  readonly link: Link | undefined;
  /** A second mounting node at the same end, by the same kind of path. */
  openSecond(system: System): Promise<string>;
  close(): Promise<void>;
}

/** In memory, so that no disk decides. */
const MEMORY = '/dev/shm';

export async function openStage(options: LinkOptions | undefined, names: readonly SystemName[]): Promise<Stage> {
  const directory = mkdtempSync(join(MEMORY, 'peerfs-bench-'));
  const ends: (() => unknown)[] = [];
  const hosts: Host[] = [];
  let link: Link | undefined;
  const close = async (): Promise<void> => {
    const left = await stopHosts(hosts);
    for (const end of ends.splice(0).reverse()) await end();
    rmSync(directory, { recursive: true, force: true });
    if (left.length > 0) throw new Error(left.join('; '));
  };
  const addHost = (name: string, end: 0 | 1): Host => {
    const base = join(directory, name);
    mkdirSync(join(base, 'files'), { recursive: true });
    const host = createHost(name, link?.addresses[end] ?? '127.0.0.1', base, link?.enter(end) ?? []);
    hosts.push(host);
    return host;
  };
  try {
    if (options !== undefined) link = await openLink(directory, options);
    ends.push(() => link?.close());
    const server = addHost('bob', 1);
    await server.start();
    const served = join(server.files, 'served');
    mkdirSync(served);
    await server.json(['share', served, '--name', 'served', '--write']);
    const mountWith = async (name: string, path: string): Promise<Host> => {
      const host = addHost(name, 0);
      await host.start(['--paths', path]);
      await introduce(server, host);
      await host.mount();
      await untilLive(host, 'bob', path);
      return host;
    };
    const systems: System[] = [];
    for (const name of names) {
      if (name !== 'tcp' && name !== 'udp') continue;
      const host = await mountWith(name, name);
      systems.push({ name, mounted: host.at('bob', 'served'), host });
    }
    const rivals = names.filter((name) => name === 'sshfs' || name === 'sshfs-bbr');
    if (rivals.length > 0) {
      const ssh = await startSshServer({
        directory: join(directory, 'ssh'),
        address: server.address,
        serverEnter: link?.enter(1) ?? [],
        clientEnter: link?.enter(0) ?? [],
      });
      ends.push(() => ssh.close());
      for (const name of rivals) {
        const control: CongestionControl = name === 'sshfs' ? 'cubic' : 'bbr';
        link?.useCongestionControl(control);
        systems.push({ name, mounted: await ssh.mount(served, name), host: undefined });
      }
      link?.useCongestionControl('cubic');
    }
    const stage: Stage = {
      directory,
      served,
      server,
      systems,
      link,
      async openSecond({ name }) {
        const host = await mountWith(`${name}-second`, name);
        return host.at('bob', 'served');
      },
      close,
    };
    return stage;
  } catch (error) {
    await close();
    throw error;
  }
}

/** Pages and names that the kernel keeps are dropped, so that each run is cold. */
export function dropCaches(): void {
  spawnSync('sync');
  if (process.getuid?.() === 0) writeFileSync('/proc/sys/vm/drop_caches', '3');
}

/**
 * The first use of memory that the machine has not used for a while is slow where it is a guest of another: memory
 * for the next run is fetched before it, for every system alike.
 */
export function warmMemory(mebibytes: number): void {
  const file = join(MEMORY, `peerfs-bench-warm-${process.pid}`);
  spawnSync('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M', `count=${mebibytes}`, 'status=none']);
  rmSync(file, { force: true });
}
