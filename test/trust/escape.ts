/**
 * A peer that wants out of its share: every hostile name in every place of every call, and all kinds of calls while
 * another process swaps a directory on their way for a link. What must not be touched is watched (canary.ts).
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import path from 'node:path';
import { fromText, type ByteString } from '../../src/bytestring.ts';
import { codeOf } from '../../src/errors.ts';
import { LeaseTable } from '../../src/fs/leases.ts';
import { createLocalTree, type LocalTree } from '../../src/fs/local-tree.ts';
import { createRemotePeer } from '../../src/fs/remote-peer.ts';
import { createServing } from '../../src/fs/serve.ts';
import type { SharedFolder } from '../../src/fs/shared-folder.ts';
import { silentLogger as log } from '../../src/log.ts';
import { MESSAGES, OPEN } from '../../src/wire/schema.ts';
import type { Fields, Message } from '../../src/wire/types.ts';
import { createMemoryChannels } from '../fs/memory-channel.ts';
import { createManualClock } from '../manual-clock.ts';
import { openCage, type Cage } from './canary.ts';
import { decodeHostile, HARMLESS_NAMES, hostileNames, plainRequest, spotsOf, withName } from './hostile-names.ts';

const SHARE = 1;
const OWNER = { uid: 0, gid: 0 };
const p = (name: string): ByteString => fromText(name);

type AnyHandler = (request: unknown, context: unknown) => Promise<unknown>;

/** What the fields that say what to do may hold: each is tried. */
const VARIANTS: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>> = {
  open: [1, 2, 3, 10, 26, 34, 42, 14].map((flags) => ({ flags, wantBytes: 100 })),
  createFile: [10, 26, 42, 14].map((flags) => ({ flags, valid: 49, mode: 0o600 })),
  setattr: [1, 8, 48, 192, 57].map((valid) => ({ valid, mode: 0o600, size: 3 })),
  rename: [0, 1, 2].map((flags) => ({ flags })),
  mknod: [false, true].map((fifo) => ({ fifo })),
  look: [{ wantBytes: 1000 }],
  readFiles: [{ room: 10_000 }],
  openDirectory: [{ maxEntries: 100 }],
  listDirectory: [{ maxEntries: 100 }],
  getattr: [{ handle: 0 }],
};

function furnish({ inside, outside }: Cage): void {
  fs.mkdirSync(path.join(inside, 'd'));
  fs.writeFileSync(path.join(inside, 'd', 'f'), 'inside');
  fs.symlinkSync(outside, path.join(inside, 'absolute'));
  fs.symlinkSync('../outside', path.join(inside, 'relative'));
  fs.symlinkSync(`/proc/${process.pid}/root`, path.join(inside, 'magic'));
  fs.symlinkSync('../..', path.join(inside, 'd', 'up'));
}

/**
 * Every name in every place where a message of the protocol has one, first as bytes to the decoder, then, as if that had let it
 * pass, to what serves the call.
 * @param walkOnly as on a kernel without openat2.
 * @returns how many were tried.
 */
export async function tryHostileNames(walkOnly: boolean): Promise<{ decoded: number; served: number }> {
  const cage = openCage();
  furnish(cage);
  const clock = createManualClock();
  const tree = await createLocalTree({ root: cage.inside, writable: true, idmap: 'user', walkOnly });
  const [channel, serverChannel] = createMemoryChannels();
  const folder: SharedFolder = { share: SHARE, name: p('s'), writable: true, idmap: 'user', tree };
  const shares = { list: () => [folder], onChange: () => () => undefined };
  const serving = createServing({ channel: serverChannel, shares, leases: new LeaseTable({ clock }), clock, log });
  const remote = createRemotePeer({ channel, clock, log });
  const handlers = { ...serving.handlers, ...remote.handlers } as unknown as Readonly<Record<string, AnyHandler>>;
  const tried = { decoded: 0, served: 0 };
  let callId = 0;
  try {
    for (const [name, message] of Object.entries(MESSAGES) as [string, Message][]) {
      const spots = spotsOf(message.request);
      const known = { share: SHARE, permissions: 0o644, newPath: 'made', directory: 'd', names: [{ name: 'f' }] };
      for (const variant of VARIANTS[name] ?? [{}]) {
        const request = plainRequest(message.request, { ...known, ...variant });
        for (const spot of spots) {
          for (const hostile of hostileNames(cage.outside)) {
            // A path may lead through links as far as the decoder knows; a name may be any but these.
            if (isRefused(message.request, request, spot, hostile)) tried.decoded += 1;
            const handler = handlers[name];
            assert.ok(handler, `nobody serves ${name}: serve it here, so that hostile names are tried with it`);
            callId += 1;
            const context = { callId, signal: new AbortController().signal, payload: Buffer.from('new') };
            const asked = withName(request, spot, hostile);
            const outcome = await handler(asked, context).then(
              (answer) => answer,
              (error: unknown) => codeOf(error),
            );
            tried.served += 1;
            const isHarmless =
              typeof outcome === 'string' ||
              name === 'recall' ||
              isEmptyAnswer(name, outcome) ||
              namesLink(name, hostile);
            assert.ok(isHarmless, `${name} took ${JSON.stringify(hostile.slice(0, 80))} as ${spot.field}`);
            assert.deepEqual(cage.touched(), [], `${name} with ${JSON.stringify(hostile.slice(0, 80))}`);
            // What may be done to a link itself was done: it is put back.
            if (namesLink(name, hostile)) {
              tidy(cage);
            }
          }
        }
      }
    }
    await tryHarmless(tree);
  } finally {
    serving.close();
    remote.close();
    await tree.close();
    cage.close();
  }
  assert.ok(tried.decoded > 0);
  return tried;
}

function isRefused(
  fields: Fields,
  request: Record<string, unknown>,
  spot: Parameters<typeof withName>[1],
  hostile: string,
): boolean {
  try {
    decodeHostile(fields, request, spot, hostile);
  } catch (error) {
    assert.equal(codeOf(error), 'PROTOCOL', JSON.stringify(hostile.slice(0, 80)));
    return true;
  }
  // What passes is made of names alone, and leads no further than through links.
  assert.match(hostile, /^(absolute|relative|magic|d\/up)/, JSON.stringify(hostile.slice(0, 80)));
  return false;
}

/** A link as the last name is a file of the share like any other. */
const namesLink = (call: string, hostile: string): boolean =>
  hostile === 'absolute' && !['open', 'createFile', 'openDirectory', 'listDirectory'].includes(call);

/** Files that cannot be given are left out of the answer. */
function isEmptyAnswer(call: string, answer: unknown): boolean {
  if (call !== 'readFiles') return false;
  const { reply } = answer as { reply: { files: readonly unknown[] } };
  return reply.files.length === 0;
}

function tidy({ inside, outside }: Cage): void {
  for (const name of fs.readdirSync(inside)) fs.rmSync(path.join(inside, name), { recursive: true, force: true });
  furnish({ inside, outside } as Cage);
}

async function tryHarmless(tree: LocalTree): Promise<void> {
  for (const name of HARMLESS_NAMES) {
    const [first = ''] = name.split('/');
    if (first !== name) continue;
    await tree.mkdir(name as ByteString, 0o755, OWNER);
    const handle = await tree.openDirectory('' as ByteString);
    const { entries } = await tree.readDirectory(handle, 0n, 1000);
    await tree.release(handle);
    assert.ok(
      entries.some((entry) => entry.name === name),
      `${JSON.stringify(name)} is not listed as itself`,
    );
    await tree.rmdir(name as ByteString);
  }
}

/** Swaps `entry` between a directory and a link to `outside`, for ever. */
const SWAPPER = `
  const fs = require('node:fs');
  const [entry, spare, outside] = process.argv.slice(1);
  process.send('ready');
  for (;;) {
    fs.renameSync(entry, spare);
    fs.symlinkSync(outside, entry);
    fs.unlinkSync(entry);
    fs.renameSync(spare, entry);
  }
`;

const OPENS: Readonly<Record<string, (tree: LocalTree) => Promise<unknown>>> = {
  read: async (tree) => {
    const { handle, firstBytes } = await tree.open(p('swap/canary'), opening(OPEN.read));
    await tree.release(handle);
    assert.equal(Buffer.from(firstBytes).toString(), 'inside');
  },
  write: async (tree) => {
    const { handle } = await tree.open(p('swap/f'), opening(OPEN.write | OPEN.truncate));
    await tree.write(handle, 0, Buffer.from('inside'));
    await tree.release(handle);
  },
  'below it': async (tree) => {
    const { handle } = await tree.open(p('swap/deep/canary'), opening(OPEN.read | OPEN.write));
    await tree.release(handle);
  },
  list: async (tree) => {
    const listed = await tree.listDirectory(p('swap/deep'), 100, false);
    assert.ok(listed.count >= 1);
  },
  look: async (tree) => {
    const { contents } = await tree.look(p('swap/canary'), 1000);
    if (contents.length > 0) assert.equal(Buffer.from(contents).toString(), 'inside');
  },
  'read files': async (tree) => {
    const { bytes } = await tree.readFiles(p('swap'), [p('canary')], 1000);
    if (bytes.length > 0) assert.equal(Buffer.from(bytes).toString(), 'inside');
  },
  'set attributes': (tree) => tree.setattr(p('swap/canary'), 0, { mode: 0o640, mtime: 'now' }),
  'set size': (tree) => tree.setattr(p('swap/f'), 0, { size: 6 }),
  'set an attribute': (tree) => tree.setxattr(p('swap/canary'), p('user.x'), Buffer.from('x'), 0),
};

/** Each makes a name that is new; the last makes room again. */
const CREATES: Readonly<Record<string, (tree: LocalTree, name: string) => Promise<unknown>>> = {
  open: async (tree, name) => {
    const { handle } = await tree.open(p(`swap/${name}`), opening(OPEN.write | OPEN.create));
    await tree.release(handle);
  },
  'open exclusively': async (tree, name) => {
    const { handle } = await tree.open(p(`swap/${name}`), opening(OPEN.write | OPEN.create | OPEN.exclusive));
    await tree.release(handle);
  },
  'create file': async (tree, name) => {
    const { flags, permissions } = opening(OPEN.write | OPEN.create);
    const made = await tree.createFile(p(`swap/${name}`), { flags, permissions, ...OWNER }, Buffer.from('x'), {}, true);
    await tree.release(made.handle);
  },
  directory: (tree, name) => tree.mkdir(p(`swap/${name}`), 0o755, OWNER),
  node: (tree, name) => tree.mknod(p(`swap/${name}`), 0o644, OWNER, false),
  FIFO: (tree, name) => tree.mknod(p(`swap/${name}`), 0o644, OWNER, true),
  'symbolic link': (tree, name) => tree.symlink(p(`swap/${name}`), Buffer.from('t'), OWNER),
  link: (tree, name) => tree.link(p('d/f'), 0, p(`swap/${name}`)),
  'link out': (tree, name) => tree.link(p('swap/canary'), 0, p(`d/${name}`)),
  'rename in': async (tree, name) => {
    await tree.mknod(p(`d/${name}`), 0o644, OWNER, false);
    await tree.rename(p(`d/${name}`), p(`swap/${name}`), 0);
  },
  'rename out': async (tree, name) => {
    await tree.mknod(p('swap/deep/out'), 0o644, OWNER, false).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
    await tree.rename(p('swap/deep/out'), p(`d/${name}`), 0);
  },
};

const opening = (flags: number) => ({ flags, permissions: 0o644, ...OWNER, wantBytes: 100 });

/** Calls under way at once. */
const AT_ONCE = 32;
const MORE_TRIES = 50_000;
/** Names that stand in the directory before they are removed again. */
const NAMES_AT_ONCE = 2000;
const RACE_CODES: readonly string[] = ['ELOOP', 'ENOENT', 'ENOTDIR', 'EAGAIN', 'EXDEV'];

export interface RaceOptions {
  readonly walkOnly: boolean;
  /** Of each kind. */
  readonly opens: number;
  readonly creates: number;
  readonly say?: (line: string) => void;
}

export interface RaceOutcome {
  readonly tried: number;
  /** Which the swapped directory let pass. */
  readonly passed: number;
}

/** All kinds of opens and creates in a directory that another process swaps for a link to the canary, for ever. */
export async function raceSwapper({ walkOnly, opens, creates, say }: RaceOptions): Promise<RaceOutcome> {
  const cage = openCage();
  furnish(cage);
  const entry = path.join(cage.inside, 'swap');
  fs.mkdirSync(path.join(entry, 'deep'), { recursive: true });
  for (const name of ['canary', 'f', 'deep/canary']) fs.writeFileSync(path.join(entry, name), 'inside');
  const tree = await createLocalTree({ root: cage.inside, writable: true, idmap: 'user', walkOnly });
  const argv = ['-e', SWAPPER, entry, path.join(cage.inside, 'spare'), cage.outside];
  const swapper = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const ended = once(swapper, 'exit');
  let tried = 0;
  let passed = 0;

  const attempt = async (kind: string, call: () => Promise<unknown>): Promise<void> => {
    tried += 1;
    try {
      await call();
      passed += 1;
    } catch (error) {
      assert.ok(RACE_CODES.includes(codeOf(error)), `${kind}: ${String(error)}`);
    }
  };
  const manyOf = async (kind: string, count: number, call: (number: number) => Promise<unknown>): Promise<void> => {
    const before = { tried, passed };
    const most = count + MORE_TRIES;
    // On a busy computer the other process may stand for long where nothing passes.
    for (let from = 0; from < count || (passed === before.passed && from < most); from += AT_ONCE) {
      const some = Array.from({ length: AT_ONCE }, (_, at) => from + at);
      await Promise.all(some.map((number) => attempt(kind, () => call(number))));
    }
    assert.deepEqual(cage.touched(), [], kind);
    assert.ok(passed > before.passed, `${kind}: never let through, so nothing was tried`);
    say?.(`${kind}: ${tried - before.tried} tried, ${passed - before.passed} let through`);
  };

  try {
    await once(swapper, 'message');
    for (const [kind, open] of Object.entries(OPENS)) await manyOf(`open: ${kind}`, opens, () => open(tree));
    for (const [kind, create] of Object.entries(CREATES)) {
      for (let from = 0; from < creates; from += NAMES_AT_ONCE) {
        const count = Math.min(NAMES_AT_ONCE, creates - from);
        await manyOf(`create: ${kind}`, count, (number) => create(tree, `new-${number}`));
        await removeMade(cage, tree);
      }
    }
  } finally {
    swapper.kill('SIGKILL');
    await ended;
    await tree.close();
    cage.close();
  }
  return { tried, passed };
}

/** Removes what was made, by the share itself: where the swapper is just now is not ours to know. */
async function removeMade(cage: Cage, tree: LocalTree): Promise<void> {
  for (const directory of ['swap', 'd']) {
    for (let left = true; left;) {
      left = false;
      let names: readonly ByteString[] = [];
      try {
        const handle = await tree.openDirectory(p(directory));
        const entries = [];
        for (let cursor = 0n; ;) {
          const page = await tree.readDirectory(handle, cursor, 1000);
          entries.push(...page.entries);
          cursor = page.entries.at(-1)?.cursor ?? 0n;
          if (page.end) break;
        }
        await tree.release(handle);
        names = entries.map(({ name }) => name).filter((name) => name.startsWith('new-'));
      } catch {
        left = true;
        continue;
      }
      for (const name of names) {
        const at = p(`${directory}/`) + name;
        await tree.unlink(at as ByteString).catch(() => tree.rmdir(at as ByteString).catch(() => undefined));
        left = true;
      }
    }
  }
  assert.deepEqual(cage.touched(), []);
}
