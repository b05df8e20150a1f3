/**
 * A router that opens ports: Debian's miniupnpd (nftables) in the network namespace of a router, with the rules that it
 * fills in. It translates addresses itself unless the laboratory does.
 *
 * miniupnpd wants an external address outside of all private and documentation ranges: a closed laboratory may take any.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface UpnpRouterOptions {
  /** Runs a command in the router's namespace: `['nsenter', '--net=/run/netns/X', '--']`. */
  readonly enter: readonly string[];
  /** The interface to the outside. */
  readonly wan: string;
  /** The interface to the inside, or address and length of its prefix. */
  readonly lan: string;
  /** What the router says of itself. */
  readonly externalAddress: string;
  /** `pmp` is PCP and NAT-PMP. */
  readonly protocols: readonly ('pmp' | 'upnp')[];
  /** Whether what goes out gets the router's address; true unless told. */
  readonly masquerade?: boolean;
}

export interface UpnpRouter {
  /** Loses all mappings and starts again, as after a power cut. */
  restart(): Promise<void>;
  /** The external ports that are open, such as `udp 4000`. */
  openPorts(): string[];
  /** Idempotent. */
  close(): Promise<void>;
}

const DAEMON = '/usr/sbin/miniupnpd';
const TABLE = 'peerfs_mapping';
const CHAINS = ['mapped_forward', 'mapped_prerouting', 'mapped_postrouting'] as const;
/** Milliseconds. */
const START_MS = 5000;
const LOOK_EVERY_MS = 50;

function rules({ wan, masquerade = true }: UpnpRouterOptions): string {
  return `table inet ${TABLE} {
  chain ${CHAINS[0]} { }
  chain ${CHAINS[1]} { }
  chain ${CHAINS[2]} { }
  chain forward { type filter hook forward priority -1; policy accept; jump ${CHAINS[0]}; }
  chain prerouting { type nat hook prerouting priority -101; policy accept; jump ${CHAINS[1]}; }
  chain postrouting { type nat hook postrouting priority 99; policy accept; jump ${CHAINS[2]};
    ${masquerade ? `oifname "${wan}" masquerade;` : ''} }
}
`;
}

function configuration({ wan, lan, externalAddress, protocols }: UpnpRouterOptions, folder: string): string {
  const enabled = (protocol: 'pmp' | 'upnp'): string => (protocols.includes(protocol) ? 'yes' : 'no');
  return [
    `ext_ifname=${wan}`,
    `ext_ip=${externalAddress}`,
    'ext_perform_stun=no',
    `listening_ip=${lan}`,
    'http_port=0',
    `enable_natpmp=${enabled('pmp')}`,
    `enable_upnp=${enabled('upnp')}`,
    'secure_mode=yes',
    'min_lifetime=120',
    'max_lifetime=86400',
    // The epoch is then the daemon's and not the computer's.
    'system_uptime=no',
    `upnp_table_name=${TABLE}`,
    `upnp_nat_table_name=${TABLE}`,
    `upnp_forward_chain=${CHAINS[0]}`,
    `upnp_nat_chain=${CHAINS[1]}`,
    `upnp_nat_postrouting_chain=${CHAINS[2]}`,
    `lease_file=${join(folder, 'leases')}`,
    'uuid=5f1b8b5e-2f0e-4c8e-9d59-7a4d9a0c1e11',
    'allow 1024-65535 0.0.0.0/0 1024-65535',
    'deny 0-65535 0.0.0.0/0 0-65535',
    '',
  ].join('\n');
}

/**
 * Ready when it returns.
 * @throws when miniupnpd or nft is missing or refuses; nothing is left behind then.
 */
export async function startUpnpRouter(options: UpnpRouterOptions): Promise<UpnpRouter> {
  const folder = mkdtempSync(join(tmpdir(), 'peerfs-router-'));
  const file = join(folder, 'miniupnpd.conf');
  writeFileSync(file, configuration(options, folder));
  let daemon: ChildProcess | undefined;
  let closed = false;

  function run(program: string, args: readonly string[], input = ''): string {
    const [command = program, ...rest] = [...options.enter, program, ...args];
    const done = spawnSync(command, rest, { input, encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.error?.message ?? done.stderr}`);
    return done.stdout;
  }

  async function start(): Promise<void> {
    const [command, ...args] = [...options.enter, DAEMON, '-d', '-f', file, '-P', join(folder, 'pid')];
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    daemon = child;
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
    child.on('error', (error) => (said += String(error)));
    const deadline = performance.now() + START_MS;
    const isListening = (): boolean => {
      const sockets = run('ss', ['-Hlun']);
      return options.protocols.every((protocol) => sockets.includes(protocol === 'pmp' ? ':5351 ' : ':1900 '));
    };
    while (!isListening()) {
      if (child.exitCode !== null || performance.now() > deadline) throw new Error(`miniupnpd did not start: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  async function stop(): Promise<void> {
    const child = daemon;
    daemon = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async function close(): Promise<void> {
    if (closed) return;
    closed = true;
    await stop();
    const [command, ...args] = [...options.enter, 'nft', 'delete', 'table', 'inet', TABLE];
    spawnSync(command, args);
    rmSync(folder, { recursive: true, force: true });
  }

  try {
    run('nft', ['-f', '-'], rules(options));
    await start();
  } catch (error) {
    await close();
    throw error;
  }

  return {
    async restart() {
      await stop();
      for (const chain of CHAINS) run('nft', ['flush', 'chain', 'inet', TABLE, chain]);
      rmSync(join(folder, 'leases'), { force: true });
      await start();
    },
    openPorts() {
      const listing = run('nft', ['list', 'chain', 'inet', TABLE, CHAINS[1]]);
      return [...listing.matchAll(/0x(11|06|6) th dport (\d+) dnat|(tcp|udp) dport (\d+) dnat/g)].map(
        ([, number, port, name, namedPort]) =>
          name === undefined ? `${number === '11' ? 'udp' : 'tcp'} ${port}` : `${name} ${namedPort}`,
      );
    },
    close,
  };
}
