/** Measurements that are more than the time of a script. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sh } from '../../test/e2e/lab.ts';
import type { Row } from './row.ts';
import { dropCaches, type Stage, type System } from './stage.ts';

type Measure = Row['measure'];

const LIMIT_MS = 600_000;
/** USER_HZ of Linux. */
const TICKS_PER_SECOND = 100;

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** A file of the serving side with contents that no compression makes smaller. @returns its name. */
async function makeFile(stage: Stage, mebibytes: number): Promise<string> {
  const name = randomBytes(4).toString('hex');
  await sh('dd if=/dev/urandom of="$1" bs=1M count=$2 status=none', [join(stage.served, name), String(mebibytes)]);
  return name;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}

async function pidOf({ host }: System): Promise<number> {
  if (host === undefined) throw new Error('not a node of ours');
  return host.pid();
}

/** `bulk` reads while `beside` runs. */
async function besideCopy<T>(stage: Stage, system: System, mebibytes: number, beside: () => Promise<T>): Promise<T> {
  const name = await makeFile(stage, mebibytes);
  const child = spawn('dd', [`if=${join(system.mounted, name)}`, 'of=/dev/null', 'bs=1M', 'status=none']);
  try {
    await wait(3000);
    if (child.exitCode !== null) throw new Error('the copy ended before the measurement began');
    return await beside();
  } finally {
    await ended(child);
    rmSync(join(stage.served, name));
  }
}

const COPY_MIB = 192;

/** Each file is looked at once, in a directory that was never listed: each stat asks the peer. */
export const statBesideCopy: Measure = async (stage, system, scale) => {
  const folder = randomBytes(4).toString('hex');
  const count = scale === 'quick' ? 30 : 100;
  await sh('mkdir "$1" && cd "$1" && seq $2 | xargs touch', [join(stage.served, folder), String(count)]);
  const script = `import os,sys,time
times=[]
for i in range(1,int(sys.argv[2])+1):
  t=time.monotonic(); os.stat(sys.argv[1]+"/"+str(i)); times.append(time.monotonic()-t); time.sleep(.05)
times.sort(); print(times[int(len(times)*.99)-1]*1000)`;
  const folderHere = join(system.mounted, folder);
  const printed = await besideCopy(stage, system, COPY_MIB, () =>
    sh(`python3 -c '${script}' "$1" $2`, [folderHere, String(count)], { timeoutMs: LIMIT_MS }),
  );
  await sh('rm -rf "$1"', [join(stage.served, folder)]);
  return Number(printed);
};

const ECHO = `import socket,sys
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind((sys.argv[1],7000)); print("ready",flush=True)
while True:
  d,a=s.recvfrom(100); s.sendto(d,a)`;
const PING = `import socket,sys,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.connect((sys.argv[1],7000)); s.settimeout(2); times=[]
for i in range(int(sys.argv[2])):
  t=time.monotonic(); s.send(str(i).encode())
  try:
    while s.recv(100)!=str(i).encode(): pass
    times.append(time.monotonic()-t)
  except socket.timeout: pass
  time.sleep(.05)
print(sum(times)/len(times)*1000)`;

/** Datagrams of a stranger go to and fro beside the copy. */
export const queueDelay: Measure = async (stage, system, scale) => {
  const { link } = stage;
  if (link === undefined) throw new Error('a link is needed');
  const [program, ...args] = [...link.enter(1), 'python3', '-c', ECHO, link.addresses[1]];
  const echo = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(echo.stdout, 'data');
    const ping = async (count: number) => {
      const prefix = link.enter(0).join(' ');
      const script = `${prefix} python3 -c '${PING}' "$1" $2`;
      return Number(await sh(script, [link.addresses[1], String(count)], { timeoutMs: LIMIT_MS }));
    };
    const idle = await ping(20);
    const busy = await besideCopy(stage, system, COPY_MIB, () => ping(scale === 'quick' ? 40 : 100));
    return busy - idle;
  } finally {
    await ended(echo);
  }
};

const READ_FOR = `import os,sys,time
f=os.open(sys.argv[1],os.O_RDONLY); begin=time.monotonic(); n=0
while True:
  t=time.monotonic()-begin
  if t>float(sys.argv[3]): break
  b=os.read(f,1<<17)
  if not b: break
  if t>float(sys.argv[2]): n+=len(b)
print(n)`;

/** Two mounting nodes read at once; the first seconds do not count. Jain, Chiu, Hawe: DEC-TR-301, 1984. */
export const fairness: Measure = async (stage, system) => {
  const second = await stage.openSecond(system);
  const flows = await Promise.all(
    [system.mounted, second].map(async (mounted) => {
      const name = await makeFile(stage, 256);
      const printed = await sh(`python3 -c '${READ_FOR}' "$1" 5 20`, [join(mounted, name)], { timeoutMs: LIMIT_MS });
      return Number(printed);
    }),
  );
  const sum = flows.reduce((a, b) => a + b, 0);
  const squares = flows.reduce((a, b) => a + b * b, 0);
  return (sum * sum) / (flows.length * squares);
};

/** Resident memory now and at most since the last look, MiB. */
function residentMiB(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const line = readFileSync(`/proc/${pid}/status`, 'latin1').match(new RegExp(`${field}:\\s+(\\d+) kB`));
  return Number(line?.[1] ?? Number.NaN) / 1024;
}

function forgetMost(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5'); // proc(5): resets VmHWM
}

const ENTRIES = 1_000_000;
const OTHERS = `import os,sys,time
worst=0
while os.path.exists(sys.argv[2]):
  t=time.monotonic(); os.close(os.open(sys.argv[1]+"/%d"%time.monotonic_ns(),os.O_CREAT|os.O_WRONLY)); worst=max(worst,time.monotonic()-t); time.sleep(.05)
print(worst)`;

interface HugeListing {
  readonly seconds: number;
  /** Of the mounting node, MiB. */
  readonly memory: number;
  /** The slowest other operation, seconds. */
  readonly others: number;
}

const hugeListings = new WeakMap<System, Promise<HugeListing>>();

/** One listing serves all three rows. */
export const hugeListing =
  (what: keyof HugeListing): Measure =>
  async (stage, system, scale) => {
    const listing = hugeListings.get(system) ?? listHuge(stage, system, scale === 'quick' ? ENTRIES / 10 : ENTRIES);
    hugeListings.set(system, listing);
    return (await listing)[what];
  };

async function listHuge(stage: Stage, system: System, entries: number): Promise<HugeListing> {
  const name = randomBytes(4).toString('hex');
  const served = join(stage.served, name);
  const running = join(stage.directory, `${name}-running`);
  mkdirSync(join(served, 'other'), { recursive: true });
  await sh('mkdir "$1/l" && cd "$1/l" && seq $2 | xargs touch', [served, String(entries)], { timeoutMs: LIMIT_MS });
  dropCaches();
  writeFileSync(running, '');
  const pid = system.host === undefined ? undefined : await pidOf(system);
  if (pid !== undefined) forgetMost(pid);
  const here = join(system.mounted, name);
  const probing = sh(`python3 -c '${OTHERS}' "$1" "$2"`, [join(here, 'other'), running], { timeoutMs: LIMIT_MS });
  const started = performance.now();
  const listed = await sh('ls -U "$1/l" | wc -l', [here], { timeoutMs: LIMIT_MS });
  const seconds = (performance.now() - started) / 1000;
  rmSync(running);
  const others = Number(await probing);
  if (Number(listed) !== entries) throw new Error(`${listed.trim()} of ${entries} entries`);
  const memory = pid === undefined ? Number.NaN : residentMiB(pid, 'VmHWM');
  await sh('rm -rf "$1"', [served], { timeoutMs: LIMIT_MS });
  return { seconds, memory, others };
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

export const idleCpu: Measure = async (_stage, system, scale) => {
  const pid = await pidOf(system);
  await wait(10_000);
  const seconds = scale === 'quick' ? 10 : 60;
  const before = cpuSeconds(pid);
  await wait(seconds * 1000);
  return ((cpuSeconds(pid) - before) / seconds) * 100;
};

/** Of a node that has just been started, mounted and met its peer. */
export const idleMemory: Measure = async (stage, system) => {
  const host = system.host;
  if (host === undefined) throw new Error('not a node of ours');
  await host.peerfs(['stop']);
  await host.start(['--paths', system.name]);
  await host.mount();
  await sh('ls "$1" > /dev/null', [system.mounted]);
  await wait(5000);
  return residentMiB(await pidOf(system), 'VmRSS');
};

export const loadMemory: Measure = async (stage, system, scale) => {
  const pid = await pidOf(system);
  forgetMost(pid);
  const names = await Promise.all([1, 2, 3, 4].map(() => makeFile(stage, scale === 'quick' ? 64 : 256)));
  const from = names.map((name) => join(system.mounted, name));
  await sh('for f in "$@"; do dd if="$f" of="$f.copy" bs=1M status=none & done; wait', from, { timeoutMs: LIMIT_MS });
  for (const name of names) for (const end of ['', '.copy']) rmSync(join(stage.served, name + end), { force: true });
  return residentMiB(pid, 'VmHWM');
};

export const startTime: Measure = async (_stage, system) => {
  const host = system.host;
  if (host === undefined) throw new Error('not a node of ours');
  await host.peerfs(['stop']);
  const started = performance.now();
  await host.start(['--paths', system.name]);
  const seconds = (performance.now() - started) / 1000;
  await host.mount();
  return seconds;
};

export const commandTime: Measure = async (_stage, system) => {
  const host = system.host;
  if (host === undefined) throw new Error('not a node of ours');
  let slowest = 0;
  for (const command of ['status', 'peers', 'shares']) {
    const times: number[] = [];
    for (let time = 0; time < 5; time++) times.push((await host.peerfs([command])).ms);
    slowest = Math.max(slowest, median(times));
  }
  return slowest;
};

const BARE_PORT = 7001;
const BARE_SECONDS = 4;

/** Mbit/s that a pair passes which only seals, sends and opens. */
export async function bareSealedPair({ link }: Stage): Promise<number> {
  if (link === undefined) throw new Error('a link is needed');
  const program = join(import.meta.dirname, 'bare-pair.js');
  const start = (end: 0 | 1, role: string) => {
    const [first, ...rest] = [...link.enter(end), process.execPath, program, role];
    const args = [...rest, link.addresses[1], String(BARE_PORT), String(BARE_SECONDS)];
    return spawn(first, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  };
  const receiver = start(1, 'receive');
  try {
    let printed = '';
    receiver.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    await once(receiver.stderr, 'data');
    const sender = start(0, 'send');
    await once(sender, 'exit');
    if (receiver.exitCode === null) await once(receiver, 'exit');
    return Number(printed) * 8;
  } finally {
    await ended(receiver);
  }
}
