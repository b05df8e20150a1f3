/**
 * The main job, whole, on this machine: two nodes with homes in a temporary folder meet by an invitation, mount each
 * other, and ordinary programs copy a real tree both ways; once over KCP, once over TCP. See scripts/demo.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { introduce, openLab, sh, untilLive, type Host } from '../test/e2e/lab.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Row {
  readonly path: string;
  readonly what: string;
  readonly seconds: number;
  readonly bytes: number;
  readonly files: number;
}

const say = (text: string) => console.log(text);
const rows: Row[] = [];

// This machine's own network namespace and loopback: the demo needs no rights beyond mounting.
const lab = openLab(['alice', 'bob'], true);
const state = { ending: false };
const end = async (status: number): Promise<never> => {
  if (state.ending) return new Promise(() => undefined);
  state.ending = true;
  try {
    await lab.close();
  } catch (error) {
    console.error(`demo: ${String(error)}`);
    status = 1;
  }
  process.exit(status);
};
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => {
    say(`\n${signal}: stopping the nodes, unmounting, removing ${lab.directory}`);
    void end(status);
  });
}

async function timed(path: string, what: string, tree: Tree, job: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  await job();
  const seconds = (performance.now() - started) / 1000;
  rows.push({ path, what, seconds, bytes: tree.bytes, files: tree.files });
  say(`  ${what}: ${seconds.toFixed(1)} s`);
}

interface Tree {
  readonly directory: string;
  readonly bytes: number;
  readonly files: number;
}

/** A real tree: this checkout with the packages it uses, and the node program. */
async function makeTree(host: Host): Promise<Tree> {
  const directory = join(host.files, 'tree');
  await sh(
    `n=0; mkdir "$1" && cp -a "$2/node_modules" "$2/src" "$2/docs" "$1/" && cp "$3" "$1/node" &&
     while [ "$(du -s --apparent-size -B1 "$1" | cut -f1)" -lt 201000000 ]; do cp "$3" "$1/node-$((n += 1))"; done
     cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum > ../SUMS`,
    [directory, ROOT, process.execPath],
    { timeoutMs: 120_000 },
  );
  const count = await sh(`find "$1" -type f -printf '%s\\n' | awk '{s+=$1} END {print NR, s}'`, [directory]);
  const [files = 0, bytes = 0] = count.trim().split(' ').map(Number);
  return { directory, files, bytes };
}

async function demonstrate(path: 'udp' | 'tcp', alice: Host, bob: Host, tree: Tree): Promise<void> {
  const away = alice.at('bob', 'tree');
  const slow = { timeoutMs: 120_000 };
  const check = 'cd "$1" && sha256sum --quiet -c "$2/SUMS"';
  await timed(path, 'cp -a to the peer', tree, () => sh('cp -a "$1" "$2"', [tree.directory, away], slow));
  await timed(path, 'sha256sum -c at the peer', tree, () => sh(check, [away, alice.files], slow));
  const home = join(bob.files, `from-alice-${path}`);
  await timed(path, 'cp -a from the peer', tree, async () => {
    await sh('cp -a "$1" "$2"', [away, `${alice.files}/back`], slow);
  });
  await sh(check, [`${alice.files}/back`, alice.files], slow);
  await sh('rm -rf "$1"', [`${alice.files}/back`]);
  // The other way: what arrived on bob's disk goes back into his folder at alice's.
  await sh('cp -a "$1" "$2"', [join(bob.home, 'inbox', 'alice', 'tree'), home], slow);
  await timed(path, 'cp -a by the peer to us', tree, () =>
    sh('cp -a "$1" "$2"', [home, bob.at('alice', 'tree')], slow),
  );
  await sh(check, [join(alice.home, 'inbox', 'bob', 'tree'), alice.files], slow);
  say(await sh('ls -l "$1" | head -n 8', [away]));
  say(await sh('df -h "$1"', [away]));
  await sh(
    `echo one > "$1/note" && echo two >> "$1/note" && mv "$1/note" "$1/renamed" &&
     test "$(cat "$1/renamed")" = "$(printf 'one\\ntwo')" && test ! -e "$1/note"`,
    [away],
  );
  say('  an append and a rename: seen by both');
  await sh('test "$(tail -n 1 "$1/renamed")" = two', [join(bob.home, 'inbox', 'alice', 'tree')]);
  await sh('rm -rf "$1" "$2" "$3"', [away, bob.at('alice', 'tree'), home], slow);
}

function table(): void {
  say('\npath  what                        MB/s   files/s');
  for (const row of rows) {
    const rate = (row.bytes / 1e6 / row.seconds).toFixed(0).padStart(7);
    const files = (row.files / row.seconds).toFixed(0).padStart(9);
    say(`${row.path.padEnd(5)} ${row.what.padEnd(24)} ${rate} ${files}`);
  }
}

try {
  const alice = lab.host('alice');
  const bob = lab.host('bob');
  say(`alice and bob live in ${lab.directory}`);
  const tree = await makeTree(alice);
  say(`the tree: ${tree.files} files, ${(tree.bytes / 1e6).toFixed(0)} MB`);
  for (const path of ['udp', 'tcp'] as const) {
    say(`\n${path === 'udp' ? 'KCP in sealed datagrams' : 'TCP'}`);
    for (const host of lab.hosts) await host.start(['--paths', path]);
    if (path === 'udp') {
      await introduce(bob, alice);
      say('  bob invited alice, alice accepted with the code');
    }
    for (const host of lab.hosts) await host.mount();
    await untilLive(alice, 'bob', path);
    await untilLive(bob, 'alice', path);
    await demonstrate(path, alice, bob, tree);
    for (const host of lab.hosts) {
      const stopped = await host.peerfs(['stop']);
      if (stopped.status !== 0) throw new Error(`stop: ${stopped.stderr}`);
    }
  }
  table();
  const left = spawnSync('grep', [dirname(alice.home), '/proc/self/mountinfo']).stdout.toString();
  if (left !== '') throw new Error(`still mounted: ${left}`);
  await end(0);
} catch (error) {
  if (!state.ending) console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
  await end(1);
}
