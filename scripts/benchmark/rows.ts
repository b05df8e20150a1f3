/** All rows, in the order of the table. */
import { join } from 'node:path';
import type { LinkOptions } from './link.ts';
import {
  fairness,
  idleCpu,
  idleMemory,
  loadMemory,
  queueDelay,
  startTime,
  commandTime,
  statBesideCopy,
  bareSealedPair,
  hugeListing,
} from './probes.ts';
import type { Row, Target } from './row.ts';
import { shellRow, type ShellRow } from './shell-row.ts';
import type { SystemName } from './stage.ts';

const MB_OF_MIB = 1.048576;
const MBIT_OF_MIB = 8.388608;
/** What has to be in memory for a run over 1 GiB: the file, its pages in both kernels. */
const WARM_MIB = 3000;

const INTERNET: LinkOptions = { rttMs: 50, loss: 0, megabitsPerSecond: 100 };
const ONE_PERCENT: LinkOptions = { ...INTERNET, loss: 0.01 };
const FIVE_PERCENT: LinkOptions = { ...INTERNET, loss: 0.05 };
const FAST_AND_FAR: LinkOptions = { rttMs: 20, loss: 0.001, megabitsPerSecond: 0 };

const LOCAL: readonly SystemName[] = ['tcp', 'udp', 'sshfs'];
const FAR: readonly SystemName[] = ['udp', 'sshfs', 'sshfs-bbr'];

const both = (target: Target) => ({ tcp: target, udp: target });

const sequentialLocal = {
  unit: 'MB/s',
  link: undefined,
  systems: LOCAL,
  count: { full: 1024, quick: 256 },
  factor: MB_OF_MIB,
};
/** The rival takes minutes for what takes us seconds: it moves a smaller file. */
const sequentialFar = {
  unit: 'Mbit/s',
  systems: FAR,
  count: { full: 256, quick: 32 },
  rivalCount: 48,
  factor: MBIT_OF_MIB,
  rounds: 3,
};
const read = {
  prepare: 'dd if=/dev/urandom of="$2/r" bs=1M count=$4 status=none',
  timed: 'dd if="$1/r" of=/dev/null bs=1M status=none',
};
const write = { timed: 'dd if=/dev/zero of="$1/w" bs=1M count=$4 conv=fsync status=none' };

function sequential(
  name: string,
  about: string,
  link: LinkOptions,
  target: Target,
  more: Partial<ShellRow> = {},
): readonly Row[] {
  const shared = { ...sequentialFar, link, targets: { udp: target }, ...more };
  return [
    shellRow({ ...shared, ...read, name: `${name}-read`, about: `sequential read, ${about}` }),
    shellRow({ ...shared, ...write, name: `${name}-write`, about: `sequential write and fsync, ${about}` }),
  ];
}

const small = (where: '$2' | '$3') =>
  `mkdir "${where}/s" && cd "${where}/s" && seq $4 | while read -r i; do head -c 4096 /dev/zero > "$i"; done`;
const smallOut = { prepare: small('$2'), timed: 'cp -r "$1/s" "$3/c"' };
const smallIn = { prepare: small('$3'), timed: 'cp -r "$3/s" "$1/c"' };
const archive = (where: string) => `${small('$3')} && tar -cf "$3/${where}" -C "$3" s`;
const eightArchives =
  'for p in $(seq 8); do mkdir "$3/$p" && for i in $(seq $(($4 / 8))); do head -c 4096 /dev/zero > "$3/$p/$i"; done; tar -cf "$3/$p.tar" -C "$3" $p; done';
/** 500 folders of 20 files, in 20 folders of 25. */
const forest =
  'cd "$2"; for a in $(seq 20); do for b in $(seq $(($4 / 20))); do mkdir -p "f/$a/$b"; (cd "f/$a/$b" && touch $(seq 20)); done; done';
const repository =
  'git init -q "$W/g" && cd "$W/g" && for i in $(seq $4); do mkdir -p "d$((i % 20))" && head -c 3000 /dev/urandom | base64 > "d$((i % 20))/$i.txt"; done && git add -A && git -c user.name=a -c user.email=a@b commit -qm one';
const sqlite = (perTransaction: boolean) =>
  `python3 -c 'import sqlite3,sys
c=sqlite3.connect(sys.argv[1]+"/db",isolation_level=None); c.execute("create table t(a integer primary key,b text)"); n=int(sys.argv[2]); k=${perTransaction ? 'n//100' : '1'}
for t in range(k):
  c.execute("begin"); c.executemany("insert into t(b) values(?)",(("x"*50,) for _ in range(n//k))); c.execute("commit")
assert c.execute("select count(*) from t").fetchone()[0]==n//k*k' "$1" $4`;
const RANDOM_READER = join(import.meta.dirname, '../../../scripts/benchmark/random-reader.c');
const randomReads = (depth: number) => ({
  prepare: `dd if=/dev/urandom of="$2/r" bs=1M count=1024 status=none && cc -O2 -pthread -o "$3/reader" '${RANDOM_READER}'`,
  timed: `"$3/reader" "$1/r" $4 ${depth}`,
});

const localRow = (row: Omit<ShellRow, 'link' | 'systems'>): Row =>
  shellRow({ ...row, link: undefined, systems: LOCAL });
const farRow = (row: Omit<ShellRow, 'link' | 'systems'>): Row =>
  shellRow({ ...row, link: INTERNET, systems: ['udp', 'sshfs'], rounds: 2 });

export const ROWS: readonly Row[] = [
  shellRow({
    ...sequentialLocal,
    ...read,
    name: 'seq-read',
    about: 'sequential read of 1 GiB',
    warmMiB: WARM_MIB,
    quick: true,
    targets: { tcp: { ratio: 2.5 }, udp: { ratio: 0.8, atLeast: 200 } },
  }),
  shellRow({
    ...sequentialLocal,
    ...write,
    name: 'seq-write',
    about: 'sequential write of 1 GiB and fsync',
    warmMiB: WARM_MIB,
    quick: true,
    targets: { tcp: { ratio: 2.5 }, udp: { ratio: 0.8, atLeast: 200 } },
  }),
  ...sequential('wan', '100 Mbit/s, 50 ms', INTERNET, { atLeast: 90 }, { quick: true }),
  ...sequential('wan-1pct', '1 % loss', ONE_PERCENT, { atLeast: 85 }, { rivalCount: 16 }),
  ...sequential('wan-5pct', '5 % loss', FIVE_PERCENT, { atLeast: 70 }, { rivalCount: 6 }),
  ...sequential(
    'fast-far',
    'no rate, 20 ms, 0.1 % loss',
    FAST_AND_FAR,
    { ofReference: 0.75 },
    { systems: ['udp', 'sshfs'], count: { full: 768, quick: 256 }, reference: bareSealedPair },
  ),
  localRow({
    ...smallOut,
    name: 'small-out',
    about: 'cp -r of 2,000 files of 4 KiB from the mount',
    unit: 'files/s',
    count: { full: 2000, quick: 1000 },
    quick: true,
    targets: both({ ratio: 2 }),
  }),
  localRow({
    ...smallIn,
    name: 'small-in',
    about: 'cp -r of 2,000 files of 4 KiB to the mount',
    unit: 'files/s',
    count: { full: 2000, quick: 1000 },
    quick: true,
    targets: both({ ratio: 2 }),
  }),
  farRow({
    ...smallOut,
    name: 'wan-small-out',
    about: 'the same from the mount, 100 Mbit/s, 50 ms',
    unit: 'files/s',
    count: { full: 2000, quick: 500 },
    rivalCount: 100,
    quick: true,
    targets: { udp: { ratio: 20 } },
  }),
  farRow({
    ...smallIn,
    name: 'wan-small-in',
    about: 'the same to the mount, 100 Mbit/s, 50 ms',
    unit: 'files/s',
    count: { full: 400, quick: 100 },
    rivalCount: 100,
    quick: true,
    targets: { udp: { ratio: 2.5 } },
  }),
  farRow({
    name: 'wan-tar8-in',
    about: 'tar x with 8 at once to the mount, 100 Mbit/s, 50 ms',
    unit: 'files/s',
    count: { full: 800, quick: 400 },
    rivalCount: 160,
    targets: { udp: { ratio: 8 } },
    prepare: eightArchives,
    timed: 'seq 8 | xargs -P8 -I% tar -xf "$3/%.tar" -C "$1"',
  }),
  farRow({
    name: 'wan-cp8-in',
    about: 'cp with 8 at once to the mount, 100 Mbit/s, 50 ms',
    unit: 'files/s',
    count: { full: 800, quick: 400 },
    rivalCount: 160,
    targets: { udp: { ratio: 8 } },
    prepare: small('$3'),
    timed: 'mkdir "$1/c" && seq $4 | xargs -P8 -I% cp "$3/s/%" "$1/c/%"',
  }),
  localRow({
    name: 'list-10000',
    about: 'ls -l of 10,000 entries',
    unit: 's',
    lessIsBetter: true,
    count: { full: 10_000, quick: 10_000 },
    quick: true,
    targets: both({ ratio: 1 }),
    prepare: 'mkdir "$2/l" && cd "$2/l" && seq $4 | xargs touch',
    timed: 'ls -l "$1/l" > /dev/null',
  }),
  farRow({
    name: 'wan-list-10000',
    about: 'ls -l of 10,000 entries, 100 Mbit/s, 50 ms',
    unit: 's',
    lessIsBetter: true,
    count: { full: 10_000, quick: 10_000 },
    targets: { udp: { ratio: 1 } },
    prepare: 'mkdir "$2/l" && cd "$2/l" && seq $4 | xargs touch',
    timed: 'ls -l "$1/l" > /dev/null',
  }),
  farRow({
    name: 'wan-find',
    about: 'find over 500 folders, 10,000 files, 100 Mbit/s, 50 ms',
    unit: 'folders/s',
    count: { full: 500, quick: 100 },
    rivalCount: 100,
    targets: { udp: { ratio: 10 } },
    prepare: forest,
    timed: 'test $(find "$1/f" -type f | wc -l) = $(($4 * 20))',
  }),
  farRow({
    name: 'wan-du',
    about: 'du over 500 folders, 10,000 files, 100 Mbit/s, 50 ms',
    unit: 'folders/s',
    count: { full: 500, quick: 100 },
    rivalCount: 100,
    targets: { udp: { ratio: 10 } },
    prepare: forest,
    timed: 'du -s "$1/f" > /dev/null',
  }),
  localRow({
    name: 'git-in',
    about: 'git clone into the mount',
    unit: 's',
    lessIsBetter: true,
    count: { full: 1500, quick: 500 },
    targets: both({ ratio: 1.5 }),
    prepare: `W=$3; ${repository}`,
    timed: 'git clone -q --no-local "$3/g" "$1/c"',
  }),
  localRow({
    name: 'git-out',
    about: 'git clone out of the mount',
    unit: 's',
    lessIsBetter: true,
    count: { full: 1500, quick: 500 },
    targets: both({ ratio: 1.5 }),
    prepare: `W=$2; ${repository}`,
    timed: 'git clone -q --no-local "$1/g" "$3/c"',
  }),
  localRow({
    name: 'untar-5000',
    about: 'untar of 5,000 files',
    unit: 'files/s',
    count: { full: 5000, quick: 1000 },
    targets: both({ ratio: 1.5 }),
    prepare: archive('a.tar'),
    timed: 'tar -xf "$3/a.tar" -C "$1"',
  }),
  localRow({
    name: 'sqlite-1',
    about: 'sqlite: 20,000 inserts in one transaction',
    unit: 's',
    lessIsBetter: true,
    count: { full: 20_000, quick: 20_000 },
    targets: both({ ratio: 1.5 }),
    timed: sqlite(false),
  }),
  localRow({
    name: 'sqlite-200',
    about: 'sqlite: 20,000 inserts in 200 transactions',
    unit: 's',
    lessIsBetter: true,
    count: { full: 20_000, quick: 4000 },
    targets: both({ ratio: 1.5 }),
    timed: sqlite(true),
  }),
  localRow({
    name: 'random-read-4k',
    about: 'random 4 KiB reads of 1 GiB, one at a time',
    unit: 'reads/s',
    count: { full: 16_000, quick: 4000 },
    quick: true,
    targets: both({ ratio: 1 }),
    ...randomReads(1),
  }),
  localRow({
    name: 'random-read-4k-16',
    about: 'random 4 KiB reads of 1 GiB, 16 at once',
    unit: 'reads/s',
    count: { full: 64_000, quick: 16_000 },
    targets: both({ ratio: 1 }),
    ...randomReads(16),
  }),
  {
    name: 'stat-beside-copy',
    about: 'stat beside a bulk copy, 99th percentile, 100 Mbit/s, 50 ms',
    unit: 'ms',
    lessIsBetter: true,
    link: INTERNET,
    systems: ['udp', 'sshfs'],
    targets: { udp: { atMost: 80 } },
    rounds: 2,
    measure: statBesideCopy,
  },
  {
    name: 'queue-delay',
    about: 'what a bulk copy adds to a round trip beside it, mean, 100 Mbit/s, 50 ms',
    unit: 'ms',
    lessIsBetter: true,
    link: INTERNET,
    systems: FAR,
    targets: { udp: { atMost: 30 } },
    rounds: 2,
    measure: queueDelay,
  },
  {
    name: 'fairness',
    about: "Jain's index of two flows on one link, 100 Mbit/s, 50 ms",
    unit: '',
    link: INTERNET,
    systems: ['udp'],
    targets: { udp: { atLeast: 0.9 } },
    rounds: 1,
    measure: fairness,
  },
  {
    name: 'list-1000000',
    about: 'a directory of 1,000,000 entries listed',
    unit: 's',
    lessIsBetter: true,
    link: undefined,
    systems: ['tcp', 'sshfs'],
    targets: { tcp: { atMost: 20 } },
    rounds: 1,
    measure: hugeListing('seconds'),
  },
  {
    name: 'list-1000000-memory',
    about: 'resident memory of the mounting node (sshfs: of sshfs) meanwhile',
    unit: 'MiB',
    lessIsBetter: true,
    link: undefined,
    systems: ['tcp'],
    targets: { tcp: { atMost: 400 } },
    rounds: 1,
    measure: hugeListing('memory'),
  },
  {
    name: 'list-1000000-others',
    about: 'the slowest other operation meanwhile',
    unit: 's',
    lessIsBetter: true,
    link: undefined,
    systems: ['tcp'],
    targets: { tcp: { atMost: 1 } },
    rounds: 1,
    measure: hugeListing('others'),
  },
  {
    name: 'idle-cpu',
    about: 'a node at rest, mounted, one peer: part of a core',
    unit: '%',
    lessIsBetter: true,
    link: undefined,
    systems: ['udp'],
    targets: { udp: { atMost: 0.5 } },
    rounds: 1,
    measure: idleCpu,
  },
  {
    name: 'idle-memory',
    about: 'a node at rest, resident',
    unit: 'MiB',
    lessIsBetter: true,
    link: undefined,
    systems: ['udp'],
    targets: { udp: { atMost: 120 } },
    rounds: 1,
    measure: idleMemory,
  },
  {
    name: 'load-memory',
    about: 'the mounting node under load, most resident',
    unit: 'MiB',
    lessIsBetter: true,
    link: undefined,
    systems: ['tcp', 'udp'],
    targets: both({ atMost: 350 }),
    rounds: 1,
    measure: loadMemory,
  },
  {
    name: 'start',
    about: 'peerfs start until it is ready',
    unit: 's',
    lessIsBetter: true,
    link: undefined,
    systems: ['tcp'],
    targets: { tcp: { atMost: 1 } },
    quick: true,
    measure: startTime,
  },
  {
    name: 'command',
    about: 'the slowest of status, peers and shares',
    unit: 'ms',
    lessIsBetter: true,
    link: undefined,
    systems: ['tcp'],
    targets: { tcp: { atMost: 250 } },
    quick: true,
    measure: commandTime,
  },
];

/** Throughput over loss and over round trip, for the charts: rows of their own, not part of the table. */
export const SWEEPS: Readonly<Record<'loss' | 'rtt', readonly Row[]>> = {
  loss: [0, 0.001, 0.01, 0.02, 0.05, 0.1].map((loss) => sweepRow('loss', loss * 100, { ...INTERNET, loss })),
  rtt: [2, 10, 25, 50, 100, 200].map((rttMs) => sweepRow('rtt', rttMs, { ...INTERNET, rttMs })),
};

function sweepRow(sweep: string, at: number, link: LinkOptions): Row {
  const about = sweep === 'loss' ? `${at} % loss, 50 ms` : `${at} ms`;
  return shellRow({
    ...sequentialFar,
    ...read,
    count: { full: 32, quick: 8 },
    // A few hundred kilobits a second are left of it where much is lost.
    rivalCount: link.loss >= 0.05 ? 1 : link.loss >= 0.01 ? 4 : 16,
    name: `sweep-${sweep}-${at}`,
    about: `sequential read, 100 Mbit/s, ${about}`,
    link,
    targets: {},
    rounds: 1,
  });
}
