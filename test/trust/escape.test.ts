/** Nothing leads out of a share: no name in any argument of any call, and no race. Odd names that are legal mean themselves. */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { introduce, openLab, run, untilLive, type Host, type Lab } from '../e2e/lab.ts';
import { raceSwapper, tryHostileNames } from './escape.ts';

const OPENS = 2000;
const CREATES = 400;
const LIMIT_MS = 20_000;

for (const walkOnly of [false, true]) {
  const how = walkOnly ? 'without openat2' : 'by openat2';
  test(`no name in any place of any call leads out of a share resolved ${how}`, { timeout: 60_000 }, async () => {
    const { decoded, served } = await tryHostileNames(walkOnly);
    assert.ok(decoded > 500 && served > decoded, `${decoded} decoded, ${served} served`);
  });

  test(`no open and no creation wins a race against links ${how}`, { timeout: 120_000 }, async () => {
    const { tried, passed } = await raceSwapper({ walkOnly, opens: OPENS, creates: CREATES });
    console.log(`# ${tried} calls raced, ${passed} let through`);
  });
}

/** Latin-1: each character is a byte. */
const ODD_NAMES = [
  'new\nline',
  'esc\x1b[31mred\x1b[0m',
  'bell\x07 tab\t cr\r',
  'back\\slash',
  'CON',
  'nul.txt',
  'trailing. ',
  '%2e%2e',
  '%00',
  '\xff\xfe not UTF-8',
  '\xc0\xae\xc0\xae',
  '\xc3\xa9 \xe2\x80\xae right to left',
  '-rf',
  '$(touch pwned)',
  '`touch pwned`',
  '"quotes\'',
  '...',
  '*',
  'n'.repeat(255),
];
/** Prints the names of argv[1] as hexadecimal; or makes those of argv[2..] in it. */
const NAMES_PROGRAM = `
const fs = require('node:fs');
const [folder, ...names] = process.argv.slice(1);
for (const name of names) {
  const at = Buffer.concat([Buffer.from(folder + '/'), Buffer.from(name, 'hex')]);
  fs.writeFileSync(at, Buffer.from(name, 'hex'));
  const moved = Buffer.concat([at.subarray(0, folder.length + 1), Buffer.from('moved')]);
  fs.renameSync(at, moved);
  fs.renameSync(moved, at);
}
const found = fs.readdirSync(Buffer.from(folder), { encoding: 'buffer' });
for (const name of found) {
  const at = Buffer.concat([Buffer.from(folder + '/'), name]);
  console.log(name.toString('hex'), fs.readFileSync(at).toString('hex'), fs.lstatSync(at).size);
}`;

describe('odd names', { timeout: 120_000 }, () => {
  let lab: Lab;
  let alice: Host;
  let bob: Host;
  const hex = ODD_NAMES.map((name) => Buffer.from(name, 'latin1').toString('hex'));
  const want = hex.map((name) => `${name} ${name} ${name.length / 2}`).sort();

  before(async () => {
    lab = openLab(['alice', 'bob'], true);
    alice = lab.host('alice');
    bob = lab.host('bob');
    for (const host of lab.hosts) await host.start();
    await introduce(bob, alice);
    await alice.mount();
    await untilLive(alice, 'bob');
  });
  after(() => lab.close());

  const names = async (folder: string, ...made: string[]) => {
    const { status, stdout, stderr } = await run([process.execPath, '-e', NAMES_PROGRAM, folder, ...made], {
      timeoutMs: LIMIT_MS,
    });
    assert.equal(status, 0, stderr);
    return stdout.trim().split('\n').sort();
  };

  test('pass unchanged through a mount, both ways', async () => {
    const folder = path.join(bob.files, 'odd');
    fs.mkdirSync(folder);
    await bob.json(['share', folder, '--name', 'odd', '--write']);
    const there = alice.at('bob', 'odd');
    assert.deepEqual(await names(there, ...hex), want, 'as made');
    assert.deepEqual(await names(folder), want, "on the peer's disk");
    assert.deepEqual(await names(there), want, 'as listed');
    assert.ok(!fs.existsSync(path.join(folder, 'pwned')));
  });

  test('reach a terminal escaped, in every command that shows them', async () => {
    const odd = path.join(bob.files, 'esc\x1b[31m new\nline \u202e\x9b');
    fs.mkdirSync(odd);
    const shown: string[] = [];
    const says = async (host: Host, isTaken: boolean, ...args: string[]) => {
      const outcome = await host.peerfs(args, { timeoutMs: LIMIT_MS });
      assert.equal(outcome.status === 0, isTaken, `${args.join(' ')}: ${outcome.stderr}`);
      shown.push(outcome.stdout, outcome.stderr);
      // Nothing but the newlines of the text itself: that of the name would begin a line.
      assert.doesNotMatch(outcome.stdout + outcome.stderr, /^line /m, args.join(' '));
    };
    await says(bob, true, 'share', odd, '--name', 'escaped');
    await says(bob, true, 'shares');
    await says(bob, true, 'status');
    await says(bob, false, 'share', odd, '--name', 'escaped');
    await says(bob, false, 'mount', path.join(odd, 'mnt'));
    await says(bob, false, 'share', path.join(odd, 'absent'), '--name', 'absent');
    await says(bob, false, 'share', odd, '--name', 'esc\x1b[31m');
    await says(bob, false, 'unshare', 'esc\x1b[31m');
    await says(bob, false, 'peers', 'rename', 'esc\x1b[31m', 'x');
    await says(bob, true, 'unshare', 'escaped');
    const place = path.join(bob.files, 'mnt\x1b[31m new\nline');
    await says(bob, true, 'mount', place);
    await says(bob, true, 'status');
    await says(bob, false, 'share', path.join(place, 'alice'), '--name', 'again');
    await says(bob, true, 'unmount', place);

    assert.doesNotMatch(shown.join(''), /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
    assert.match(shown.join(''), /\\x1b\[31m new\\x0aline/);
  });
});
