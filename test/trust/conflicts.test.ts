/**
 * A computer that loses its network with unsent writes, comes back, and finds that others have changed the file: nothing
 * of theirs is overwritten, the program that wrote is told, and what it wrote is kept.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { configure, withNatLab } from '../e2e/nat-lab.ts';
import { untilLive } from '../e2e/lab.ts';
import type { NodeStatus } from '../../src/daemon/control-protocol.ts';

/** Opens argv[1]; at each line `offset text` writes there, at `sync` syncs; answers each with a line. */
const WRITER = `
const fs = require('node:fs');
const file = fs.openSync(process.argv[1], 'r+');
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [word, text] = line.split(' ');
  try {
    if (word === 'sync') fs.fsyncSync(file);
    else fs.writeSync(file, text, Number(word));
    console.log('done');
  } catch (error) {
    console.log(error.errno === -116 ? 'ESTALE' : error.code);
  }
});
`;
const PATIENCE_MS = 120_000;
/** Longer than any lease of a fast path. */
const AWAY_MS = 20_000;

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function startWriter(path: string): { say(line: string): Promise<string>; end(): Promise<void> } {
  const child = spawn(process.execPath, ['-e', WRITER, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async say(line) {
      child.stdin.write(`${line}\n`);
      const answer = await lines.next();
      return answer.done === true ? 'ended' : answer.value;
    },
    async end() {
      child.stdin.end();
      if (child.exitCode === null) await once(child, 'close');
    },
  };
}

test('unsent writes of a computer that was away do not overwrite what others wrote: ESTALE, and a copy', async (t) => {
  await withNatLab(t, { nats: ['cone', 'cone'], stun: true, dht: true }, async (lab) => {
    const { alice, bob } = lab;
    configure(bob, `patienceMs = ${PATIENCE_MS}`);
    await lab.mount(alice);
    await lab.mount(bob);
    await untilLive(bob, 'alice', 'udp');
    const folder = join(alice.files, 'folder');
    mkdirSync(folder);
    const [changed, untouched] = [join(folder, 'changed by others'), join(folder, 'untouched')];
    for (const file of [changed, untouched]) writeFileSync(file, '.'.repeat(16));
    await alice.json(['share', folder, '--write']);
    const shown = bob.at('alice', 'folder');
    const writers = ['changed by others', 'untouched'].map((name) => startWriter(join(shown, name)));
    t.after(() => Promise.all(writers.map((writer) => writer.end())));
    for (const { say } of writers) assert.deepEqual([await say('0 before'), await say('sync')], ['done', 'done']);

    lab.natlab('cut', '1');
    for (const { say } of writers) assert.equal(await say('8 unsent'), 'done');
    await sleep(AWAY_MS);
    writeFileSync(changed, 'theirs, and longer than before');
    lab.natlab('uncut', '1');

    const said = await Promise.all(writers.map(({ say }) => say('sync')));
    assert.deepEqual(said, ['ESTALE', 'done']);
    assert.equal(readFileSync(changed, 'latin1'), 'theirs, and longer than before');
    assert.equal(readFileSync(untouched, 'latin1'), 'before..unsent..');
    const { conflicts, warnings } = (await bob.json(['status'])) as NodeStatus;
    assert.deepEqual(conflicts, { directory: join(bob.home, 'conflicts'), copies: 1 });
    assert.match(warnings.join(), /others changed changed by others of alice/);
    const [copy = ''] = readdirSync(conflicts.directory);
    assert.match(copy, /^alice \S+ 1 changed by others$/);
    assert.equal(readFileSync(join(conflicts.directory, copy), 'latin1'), `${'\0'.repeat(8)}unsent`);
    assert.deepEqual(
      [conflicts.directory, join(conflicts.directory, copy)].map((path) => statSync(path).mode & 0o777),
      [0o700, 0o600],
    );
    const { stdout } = await bob.peerfs(['status']);
    assert.match(stdout, /a copy of what peers could not take any more/);
    assert.doesNotMatch(readFileSync(join(bob.home, 'node.log'), 'latin1'), /changed by others/);
  });
});
