/**
 * Benchmarks: fixed, named workloads through peerfs (TCP, KCP) and sshfs on the same folders in the same run.
 * Both ends are on this machine, in memory (tmpfs) where there is one. Medians; JSON with --json FILE.
 */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { cpus, totalmem, userInfo } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { introduce, openLab, run, sh, untilLive } from '../test/e2e/lab.ts';

const { values: flags, positionals } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'string' } },
  allowPositionals: true,
});
const ROUNDS = flags.quick === true ? 1 : 5;
const MEGABYTES = flags.quick === true ? 256 : 1024;
const SMALL_FILES = 2000;
const LISTED = 10_000;
const RANDOM_READS = 4000;

if (existsSync('/dev/shm')) process.env['TMPDIR'] = mkdtempSync('/dev/shm/peerfs-bench-');

interface System {
  readonly name: string;
  /** The mounted folder under test. */
  readonly mounted: string;
}

/** What one measurement gives: seconds of the timed part and the amount done in it. */
interface Workload {
  readonly name: string;
  readonly unit: string;
  /** Units per run, to turn seconds into a rate. */
  readonly amount: number;
  /** Untimed; $1 the mounted folder, $2 the same folder on the server's side, $3 a local folder. */
  readonly prepare: string;
  readonly timed: string;
  readonly cleanUp: string;
}

const random = `import os,random,sys
f=os.open(sys.argv[1],os.O_RDONLY); n=os.fstat(f).st_size//4096; r=random.Random(5)
for _ in range(${RANDOM_READS}): assert len(os.pread(f,4096,r.randrange(n)*4096))==4096`;

const WORKLOADS: readonly Workload[] = [
  {
    name: 'seq-write',
    unit: 'MB/s',
    amount: (MEGABYTES * 1048576) / 1e6,
    prepare: '',
    timed: `dd if=/dev/zero of="$1/w" bs=1M count=${MEGABYTES} conv=fsync status=none`,
    cleanUp: 'rm "$1/w"',
  },
  {
    name: 'seq-read',
    unit: 'MB/s',
    amount: (MEGABYTES * 1048576) / 1e6,
    prepare: `dd if=/dev/urandom of="$2/r" bs=1M count=${MEGABYTES} status=none`,
    timed: 'dd if="$1/r" of=/dev/null bs=1M status=none',
    cleanUp: 'rm "$2/r"',
  },
  {
    name: 'small-out',
    unit: 'files/s',
    amount: SMALL_FILES,
    prepare: `mkdir "$2/s" && cd "$2/s" && seq ${SMALL_FILES} | while read -r i; do head -c 4096 /dev/zero > "$i"; done`,
    timed: 'cp -r "$1/s" "$3/s"',
    cleanUp: 'rm -r "$2/s" "$3/s"',
  },
  {
    name: 'small-in',
    unit: 'files/s',
    amount: SMALL_FILES,
    prepare: `mkdir "$3/s" && cd "$3/s" && seq ${SMALL_FILES} | while read -r i; do head -c 4096 /dev/zero > "$i"; done`,
    timed: 'cp -r "$3/s" "$1/s"',
    cleanUp: 'rm -r "$1/s" "$3/s"',
  },
  {
    name: 'list-10000',
    unit: 'entries/s',
    amount: LISTED,
    prepare: `mkdir "$2/l" && cd "$2/l" && seq ${LISTED} | xargs touch`,
    timed: 'ls -l "$1/l" | wc -l',
    cleanUp: 'rm -r "$2/l"',
  },
  {
    name: 'random-read-4k',
    unit: 'reads/s',
    amount: RANDOM_READS,
    prepare: `dd if=/dev/urandom of="$2/r" bs=1M count=${MEGABYTES} status=none`,
    timed: `python3 -c '${random}' "$1/r"`,
    cleanUp: 'rm "$2/r"',
  },
];

const unknown = positionals.filter((name) => !WORKLOADS.some((workload) => workload.name === name));
if (unknown.length > 0) {
  console.error(`bench: no workload ${unknown.join(', ')}; there are ${WORKLOADS.map((w) => w.name).join(', ')}`);
  process.exit(2);
}
const chosen = WORKLOADS.filter((workload) => positionals.length === 0 || positionals.includes(workload.name));

const lab = openLab(['bob', 'tcp', 'udp'], true);
const cleanups: (() => unknown)[] = [];
let ended = false;
async function end(status: number): Promise<never> {
  if (ended) return new Promise(() => undefined);
  ended = true;
  for (const cleanUp of cleanups.reverse()) cleanUp();
  await lab.close().catch((error: unknown) => console.error(String(error)));
  if (process.env['TMPDIR']?.startsWith('/dev/shm/peerfs-bench-') === true) {
    rmSync(process.env['TMPDIR'], { recursive: true, force: true });
  }
  process.exit(status);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end(130));

/** An sshd of this run's own, on loopback, with keys of this run; sshfs mounts `folder` through it. */
async function mountSshfs(folder: string): Promise<string> {
  const base = join(lab.directory, 'ssh');
  const mountpoint = join(base, 'mnt');
  mkdirSync(mountpoint, { recursive: true, mode: 0o700 });
  await sh('ssh-keygen -q -t ed25519 -N "" -f "$1/host" && ssh-keygen -q -t ed25519 -N "" -f "$1/user"', [base]);
  writeFileSync(join(base, 'authorized_keys'), readFileSync(join(base, 'user.pub')), { mode: 0o600 });
  const port = await new Promise<number>((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = probe.address() as AddressInfo;
      probe.close(() => resolve(free));
    });
  });
  writeFileSync(
    join(base, 'sshd_config'),
    `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${base}/host\nAuthorizedKeysFile ${base}/authorized_keys\nPidFile ${base}/pid\n` +
      'StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n',
  );
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  const sshd = spawn('/usr/sbin/sshd', ['-D', '-f', join(base, 'sshd_config')], { stdio: 'ignore' });
  cleanups.push(() => sshd.kill());
  await new Promise((resolve) => setTimeout(resolve, 500));
  const options = `IdentityFile=${base}/user,StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,LogLevel=ERROR`;
  await sh('sshfs -p "$1" -o "$2" "$3@127.0.0.1:$4" "$5"', [
    String(port),
    options,
    userInfo().username,
    folder,
    mountpoint,
  ]);
  cleanups.push(() => spawnSync('fusermount3', ['-u', '-z', mountpoint]));
  return mountpoint;
}

/** Pages and names that the kernel keeps are dropped, so that each run is cold. */
function dropCaches(): void {
  spawnSync('sync');
  if (process.getuid?.() === 0) writeFileSync('/proc/sys/vm/drop_caches', '3');
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

async function measure(workload: Workload, system: System, served: string, local: string): Promise<number> {
  const name = randomBytes(4).toString('hex');
  const args = [join(system.mounted, name), join(served, name), join(local, name)];
  await sh('mkdir -p "$2" "$3"', args);
  const limit = { timeoutMs: 600_000 };
  await sh(workload.prepare === '' ? ':' : workload.prepare, args, limit);
  dropCaches();
  const started = performance.now();
  await sh(workload.timed, args, limit);
  const seconds = (performance.now() - started) / 1000;
  await sh(workload.cleanUp, args, limit);
  await sh('rm -rf "$2" "$3"', args);
  return seconds;
}

interface Result {
  readonly workload: string;
  readonly unit: string;
  readonly system: string;
  readonly median: number;
  readonly all: readonly number[];
  /** Against sshfs in the same run; above 1 is faster. */
  readonly ratio: number;
}

try {
  const bob = lab.host('bob');
  for (const host of lab.hosts) await host.start(host.name === 'bob' ? [] : ['--paths', host.name]);
  const served = join(bob.files, 'served');
  mkdirSync(served);
  const systems: System[] = [];
  for (const path of ['tcp', 'udp']) {
    const host = lab.host(path);
    await introduce(bob, host);
    await host.mount();
    systems.push({ name: `peerfs-${path}`, mounted: host.at('bob', 'served') });
  }
  await bob.json(['share', served, '--name', 'served', '--write']);
  await untilLive(lab.host('tcp'), 'bob', 'tcp');
  await untilLive(lab.host('udp'), 'bob', 'udp');
  systems.push({ name: 'sshfs', mounted: await mountSshfs(served) });

  const results: Result[] = [];
  for (const workload of chosen) {
    const rates = new Map<string, number[]>(systems.map(({ name }) => [name, []]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const system of systems) {
        const seconds = await measure(workload, system, served, lab.directory);
        rates.get(system.name)?.push(workload.amount / seconds);
      }
    }
    const rival = median(rates.get('sshfs') ?? []);
    for (const [system, all] of rates) {
      const result = {
        workload: workload.name,
        unit: workload.unit,
        system,
        median: median(all),
        all,
        ratio: median(all) / rival,
      };
      results.push(result);
      console.log(
        `${workload.name.padEnd(16)} ${system.padEnd(12)} ${result.median.toFixed(0).padStart(8)} ${workload.unit.padEnd(10)} ${result.ratio.toFixed(2).padStart(6)} x sshfs`,
      );
    }
  }
  if (flags.json !== undefined) {
    const kernel = (await run(['uname', '-r'])).stdout.trim();
    const sshfs = (await run(['sshfs', '--version'])).stdout.split('\n')[0] ?? '';
    const machine = {
      cpu: cpus()[0]?.model,
      cores: cpus().length,
      memoryGiB: totalmem() / 2 ** 30,
      kernel,
      node: process.version,
      sshfs,
    };
    writeFileSync(
      flags.json,
      `${JSON.stringify({ machine, rounds: ROUNDS, megabytes: MEGABYTES, results }, undefined, 2)}\n`,
    );
  }
  await end(0);
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  await end(1);
}
