/**
 * A BitTorrent DHT of its own, on one address: nodes of bittorrent-dht, which answer queries and store, and some of
 * libtorrent's (Debian's python3-libtorrent). In this process, or as a child behind a command prefix, such as
 * `nsenter --net=/run/netns/NAME`, which is how a laboratory has it in a namespace of its own.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createPublicKey, verify as verifyEd25519 } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { argv, execPath, stdin, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import DHT from 'bittorrent-dht';

export interface DhtNetworkOptions {
  /** The IPv4 address that all nodes have, each with a port of its own. */
  readonly host: string;
  /** Of all kinds together. */
  readonly nodes: number;
  /** How many of them are libtorrent's; all may be. */
  readonly libtorrent?: number;
  /** What a child that holds the network is started with. */
  readonly enter?: readonly string[];
}

export interface DhtNetwork {
  /** Three of the nodes, `host:port`. */
  readonly bootstrap: readonly string[];
  /** What each libtorrent node says of itself, when it is asked. */
  libtorrentTables(): Promise<readonly LibtorrentTable[]>;
  /** Ends all nodes. Idempotent. */
  close(): Promise<void>;
}

export interface LibtorrentTable {
  /** `host:port` of the nodes in its routing table. */
  readonly nodes: readonly string[];
}

/** Tuning. Milliseconds. */
const START_MS = 20_000;
const END_MS = 3000;
const ENTRANCES = 3;
const LIBTORRENT_PYTHON = '/usr/bin/python3';

export function ed25519Verify(signature: Uint8Array, signed: Uint8Array, publicKey: Uint8Array): boolean {
  const x = Buffer.from(publicKey).toString('base64url');
  const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x } });
  return verifyEd25519(null, signed, key, signature);
}

/** A line read, a line answered: `table` gives the routing table; the end of input ends it. */
const LIBTORRENT_NODE = `
import json, socket, sys, time
import libtorrent as lt
host, bootstrap = sys.argv[1], sys.argv[2]
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.bind((host, 0))
port = probe.getsockname()[1]
probe.close()
session = lt.session({
    'listen_interfaces': '%s:%d' % (host, port), 'enable_dht': True, 'enable_lsd': False, 'enable_upnp': False,
    'enable_natpmp': False, 'dht_bootstrap_nodes': bootstrap, 'dht_restrict_routing_ips': False,
    'dht_restrict_search_ips': False, 'dht_enforce_node_id': False, 'dht_ignore_dark_internet': False,
    'dht_prefer_verified_node_ids': False, 'dht_block_ratelimit': 1000, 'dht_upload_rate_limit': 1000000,
    'alert_mask': lt.alert.category_t.dht_notification})
bootstrap_host, bootstrap_port = bootstrap.rsplit(':', 1)
session.add_dht_node((bootstrap_host, int(bootstrap_port)))
ends = time.time() + 15
while session.status().dht_nodes < 1 and time.time() < ends:
    time.sleep(0.05)
print(json.dumps({'address': '%s:%d' % (host, port)}), flush=True)
def state():
    saved = session.save_state(lt.save_state_flags_t.save_dht_state)
    found = saved.get(b'dht state', {}).get(b'nodes', [])
    return ['%s:%d' % (socket.inet_ntoa(n[-6:-2]), int.from_bytes(n[-2:], 'big')) for n in found if len(n) in (6, 26)]
for line in sys.stdin:
    if line.strip() == 'table':
        print(json.dumps({'nodes': state()}), flush=True)
`;

function lineReader(child: ChildProcess): () => Promise<string> {
  if (child.stdout === null) throw new Error('no output');
  const lines: string[] = [];
  const waiting: ((line: string) => void)[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => {
    const wanted = waiting.shift();
    if (wanted === undefined) lines.push(line);
    else wanted(line);
  });
  return () =>
    new Promise((resolve, reject) => {
      const line = lines.shift();
      if (line !== undefined) return resolve(line);
      const timer = setTimeout(() => reject(new Error('the DHT network says nothing')), START_MS);
      const gone = (): void => {
        clearTimeout(timer);
        reject(new Error('the DHT network ended'));
      };
      child.once('exit', gone);
      waiting.push((got) => {
        clearTimeout(timer);
        child.off('exit', gone);
        resolve(got);
      });
    });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.stdin?.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await exited;
  clearTimeout(timer);
}

interface LibtorrentNode {
  readonly address: string;
  table(): Promise<LibtorrentTable>;
  close(): Promise<void>;
}

function property(line: string, name: string): unknown {
  const parsed: unknown = JSON.parse(line);
  return typeof parsed === 'object' && parsed !== null
    ? Object.getOwnPropertyDescriptor(parsed, name)?.value
    : undefined;
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

async function startLibtorrent(host: string, bootstrap: string): Promise<LibtorrentNode> {
  const child = spawn(LIBTORRENT_PYTHON, ['-W', 'ignore', '-c', LIBTORRENT_NODE, host, bootstrap], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const line = lineReader(child);
  try {
    const address = String(property(await line(), 'address'));
    return {
      address,
      async table() {
        child.stdin.write('table\n');
        return { nodes: textsOf(property(await line(), 'nodes')) };
      },
      close: () => end(child),
    };
  } catch (error) {
    await end(child);
    throw error;
  }
}

/** A node of bittorrent-dht that answers and stores. */
export async function startDhtNode(host: string, bootstrap: readonly string[]): Promise<DHT> {
  const dht = new DHT({ bootstrap: bootstrap.length === 0 ? false : bootstrap, verify: ed25519Verify, timeout: 500 });
  await new Promise<void>((resolve, reject) => {
    dht.once('error', reject);
    dht.listen(0, host, resolve);
  });
  return dht;
}

function destroy(dht: DHT): Promise<void> {
  return new Promise((resolve) => dht.destroy(resolve));
}

async function startHere({ host, nodes, libtorrent = 0 }: DhtNetworkOptions): Promise<DhtNetwork> {
  const own: DHT[] = [];
  const foreign: LibtorrentNode[] = [];
  const addressOf = (dht: DHT): string => `${host}:${dht.address().port}`;
  let closing: Promise<unknown> | undefined;
  const close = async (): Promise<void> => {
    closing ??= Promise.all([...own.map(destroy), ...foreign.map((node) => node.close())]);
    await closing;
  };
  try {
    // libtorrent takes long to begin without anybody: where all are its, one that goes again lets them in.
    do own.push(await startDhtNode(host, own.slice(0, 1).map(addressOf)));
    while (own.length < nodes - libtorrent);
    const [entrance = ''] = own.map(addressOf);
    const started = await Promise.allSettled(Array.from({ length: libtorrent }, () => startLibtorrent(host, entrance)));
    for (const one of started) if (one.status === 'fulfilled') foreign.push(one.value);
    if (foreign.length < libtorrent) throw new Error('libtorrent did not start: is python3-libtorrent installed?');
    if (nodes === libtorrent) await Promise.all(own.splice(0).map(destroy));
    // Nodes add strangers only after those have asked or answered something.
    for (const { address } of foreign) {
      const [at = '', port = ''] = address.split(':');
      for (const dht of own) dht.addNode({ host: at, port: Number(port) });
    }
    const addresses = [...own.map(addressOf), ...foreign.map(({ address }) => address)];
    return {
      bootstrap: addresses.slice(0, ENTRANCES),
      libtorrentTables: () => Promise.all(foreign.map((node) => node.table())),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startBehind(enter: readonly string[], options: DhtNetworkOptions): Promise<DhtNetwork> {
  const { host, nodes, libtorrent = 0 } = options;
  const [command, ...rest] = [...enter, execPath, fileURLToPath(import.meta.url)];
  const child = spawn(command, [...rest, JSON.stringify({ host, nodes, libtorrent })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const line = lineReader(child);
  try {
    const bootstrap = textsOf(property(await line(), 'bootstrap'));
    return {
      bootstrap,
      async libtorrentTables() {
        child.stdin.write('tables\n');
        const tables = property(await line(), 'tables');
        return Array.isArray(tables) ? tables.map((table) => ({ nodes: textsOf(table) })) : [];
      },
      close: () => end(child),
    };
  } catch (error) {
    await end(child);
    throw error;
  }
}

/** @throws when a node does not start. */
export function startDhtNetwork(options: DhtNetworkOptions): Promise<DhtNetwork> {
  return options.enter === undefined ? startHere(options) : startBehind(options.enter, options);
}

/** As the child: options in the first argument, one line with the addresses; the end of input ends all. */
async function main(text: string): Promise<void> {
  const network = await startHere({
    host: String(property(text, 'host')),
    nodes: Number(property(text, 'nodes')),
    libtorrent: Number(property(text, 'libtorrent')),
  });
  stdout.write(`${JSON.stringify({ bootstrap: network.bootstrap })}\n`);
  for await (const line of createInterface({ input: stdin })) {
    if (line !== 'tables') continue;
    const tables = await network.libtorrentTables();
    stdout.write(`${JSON.stringify({ tables: tables.map(({ nodes }) => nodes) })}\n`);
  }
  await network.close();
}

if (argv[1] === fileURLToPath(import.meta.url)) await main(argv[2] ?? '{}');
