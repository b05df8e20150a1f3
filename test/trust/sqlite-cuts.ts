/**
 * A SQLite database in a peer's folder whose writer, or one of the two nodes, is killed at random moments: afterwards it is
 * whole, and holds every transaction whose commit was acknowledged.
 */
import { spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { createRandom } from '../wire/samples.ts';
import { eventually, introduce, isMounted, openLab, run, untilLive, type Host } from '../e2e/lab.ts';

/** Commits transactions until it is ended; says the number of each once its commit has returned. */
const WRITER = `import sqlite3,sys
c=sqlite3.connect(sys.argv[1],isolation_level=None,timeout=20)
c.execute("pragma synchronous=full")
c.execute("create table if not exists t(n integer primary key,b blob)")
n=c.execute("select coalesce(max(n),0) from t").fetchone()[0]
while True:
  n+=1
  c.execute("begin immediate")
  c.execute("insert into t values(?,?)",(n,bytes([n%256])*3000))
  c.execute("update t set b=? where n=?",(bytes([n%256])*3001,n//2))
  c.execute("commit")
  print(n,flush=True)
`;

const CHECK = `import sqlite3,sys
c=sqlite3.connect(sys.argv[1],timeout=20)
assert c.execute("pragma integrity_check").fetchone()[0]=="ok", "integrity"
rows=c.execute("select n,b from t order by n").fetchall()
assert [n for n,_ in rows]==list(range(1,len(rows)+1)), "a transaction is missing in the middle"
for n,b in rows:
  by=max(m for m in (n,2*n,2*n+1) if m<=len(rows))
  assert b==bytes([by%256])*(3000 if by==n else 3001), "contents of %d" % n
print(len(rows))
`;

const VICTIMS = ['writer', 'own node', "peer's node"] as const;
const LONGEST_MS = 2500;
const CHECK_LIMIT_MS = 60_000;

export interface CutsOptions {
  readonly cuts: number;
  readonly seed: number;
}

async function restart(host: Host, listen: string): Promise<void> {
  await eventually('the dead mount is gone', 5000, async () => (isMounted(host.mountpoint) ? undefined : true));
  await host.start(['--listen', listen]);
  await host.mount();
}

/** @throws when the database is not whole, or lacks what was acknowledged. */
export async function cutSqlite({ cuts, seed }: CutsOptions, say: (line: string) => void): Promise<readonly string[]> {
  const random = createRandom(seed);
  const lab = openLab(['alice', 'bob']);
  const listen = (host: Host) => `${host.address}:${host.name === 'bob' ? 42_042 : 42_043}`;
  let committed = 0;
  const killed = new Map<string, number>();
  try {
    const [alice, bob] = [lab.host('alice'), lab.host('bob')];
    for (const host of [alice, bob]) {
      await host.start(['--listen', listen(host)]);
      await host.mount();
    }
    await introduce(bob, alice);
    const database = alice.at('bob', 'data.db');
    for (let cut = 0; cut < cuts; cut += 1) {
      await untilLive(alice, 'bob');
      const writer = spawn('python3', ['-c', WRITER, database], { stdio: ['ignore', 'pipe', 'pipe'] });
      let said = '';
      let complaint = '';
      writer.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      writer.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
      const ended = new Promise((resolve) => writer.on('close', resolve));
      const before = committed;
      try {
        await eventually('the writer commits', 30_000, async () => (said.length > 0 ? true : undefined));
        await pause(random() * LONGEST_MS);
        // Each at least once.
        const victim = VICTIMS[cut < VICTIMS.length ? cut : Math.floor(random() * VICTIMS.length)] ?? 'writer';
        killed.set(victim, (killed.get(victim) ?? 0) + 1);
        if (victim === 'writer') writer.kill('SIGKILL');
        else {
          const host = victim === 'own node' ? alice : bob;
          process.kill(await host.pid(), 'SIGKILL');
          await Promise.race([ended, pause(30_000)]);
          writer.kill('SIGKILL');
          await restart(host, listen(host));
        }
        await ended;
        committed = Number(said.trim().split('\n').at(-1));
        await untilLive(alice, 'bob');
        const checked = await run(['python3', '-c', CHECK, database], { timeoutMs: CHECK_LIMIT_MS });
        const at = `seed ${seed}, cut ${cut} (${victim}), acknowledged ${committed}`;
        if (checked.status !== 0)
          throw new Error(`${at}: exit ${checked.status}: ${checked.stderr}; writer: ${complaint}`);
        const there = Number(checked.stdout);
        if (there < committed || there > committed + 1) throw new Error(`${at}: ${there} transactions are there`);
        committed = there;
        say(`cut ${cut}: ${victim}, ${committed - before} transactions`);
      } finally {
        writer.kill('SIGKILL');
      }
    }
    const counts = [...killed].map(([victim, count]) => `${victim} ${count}`).join(', ');
    return [
      `${cuts} kills (${counts}), seed ${seed}: ${committed} transactions, none lost, the database whole each time`,
    ];
  } finally {
    await lab.close();
  }
}
