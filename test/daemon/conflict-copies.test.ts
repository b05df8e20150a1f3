import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fromText } from '../../src/bytestring.ts';
import { createConflictCopies } from '../../src/daemon/conflict-copies.ts';
import { silentLogger as log } from '../../src/log.ts';
import { createManualClock } from '../manual-clock.ts';
import { temporaryFolder } from './temporary-home.ts';

function createFixture(directory: string) {
  const told: string[] = [];
  const copies = createConflictCopies({
    directory,
    clock: createManualClock(),
    log,
    onCopy: (petname, name) => void told.push(`kept ${petname} ${name}`),
    onFailure: (petname, name, code) => void told.push(`lost ${petname} ${name} ${code}`),
  });
  const keep = (file: object, path: string, offset: number, text: string) =>
    copies.keep('alice', { share: 0, path: fromText(path), file, offset, bytes: Buffer.from(text) });
  return { copies, keep, told };
}

test('what was written to one file goes into one copy, at its place; two of one name into two', (t) => {
  const directory = join(temporaryFolder(t), 'conflicts');
  const { copies, keep, told } = createFixture(directory);
  assert.equal(copies.count(), 0);
  const [one, other] = [{}, {}];
  keep(one, 'd/ü/name', 4, 'late');
  keep(one, 'd/ü/name', 0, 'erly');
  keep(other, 'name', 2, 'x');
  assert.deepEqual(told, ['kept alice name', 'kept alice name']);
  assert.equal(copies.count(), 2);
  const contents = readdirSync(directory).map((name) => readFileSync(join(directory, name), 'latin1'));
  assert.deepEqual(contents.sort(), ['\0\0x', 'erlylate']);
});

test('a copy that cannot be made is told once, and nothing else fails', (t) => {
  const folder = temporaryFolder(t);
  const directory = join(folder, 'conflicts');
  writeFileSync(directory, 'not a folder');
  const { keep, told } = createFixture(directory);
  const file = {};
  keep(file, 'name', 0, 'x');
  keep(file, 'name', 1, 'y');
  assert.equal(told.length, 1);
  assert.match(told[0] ?? '', /^lost alice name E/);
  rmSync(directory);
  keep(file, 'name', 2, 'z');
  assert.deepEqual(told.slice(1), ['kept alice name']);
});
