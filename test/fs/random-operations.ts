/**
 * Random file operations on two trees at once, a model and the one that is tried: after each the outcomes must be
 * equal, and at the end the trees. Seeded, so that a failure can be run again.
 */
import assert from 'node:assert/strict';
import { fromText, join, type ByteString } from '../../src/bytestring.ts';
import { codeOf } from '../../src/errors.ts';
import type { Handle, Tree } from '../../src/fs/tree.ts';
import { OPEN, RENAME, XATTR, type Attributes } from '../../src/wire/schema.ts';

const OWNER = { uid: 0, gid: 0 };
const NAMES = ['a', 'b', 'c', 'ä', 'long-name-'.repeat(20)].map(fromText);
/** The largest offset of a write, bytes. */
const REACH = 300_000;
const OPEN_FILES = 6;

/** What must be equal of attributes; numbers of inodes and times of the clock are each tree's own. */
function visible(attributes: Attributes): object {
  const { mode, nlink, size } = attributes;
  // How a file system counts the links and bytes of a directory is its own affair.
  return (mode & 0o170000) === 0o040000 ? { mode } : { mode, nlink, size };
}

interface OpenPair {
  readonly flags: number;
  readonly model: Handle;
  readonly tried: Handle;
}

export interface RandomOperations {
  /** What was done last, for the message of a failure. */
  readonly log: readonly string[];
  /** One operation on both. */
  step(): Promise<void>;
  /** Closes what is open and compares the whole trees. */
  finish(): Promise<void>;
}

export function createRandomOperations(options: {
  readonly model: Tree;
  readonly tried: Tree;
  readonly random: () => number;
  /** Waits for a promise of `tried`, such as by letting a manual clock run. */
  readonly wait: <T>(promise: Promise<T>) => Promise<T>;
}): RandomOperations {
  const { model, tried, random, wait } = options;
  const log: string[] = [];
  const open: OpenPair[] = [];
  const pick = (limit: number) => Math.floor(random() * limit);
  const one = <T>(items: readonly T[]): T => items[pick(items.length)] as T;
  const bytes = (length: number) => Buffer.alloc(length, pick(255) + 1);

  function path(): ByteString {
    let result = one(NAMES);
    for (let depth = pick(3); depth > 0; depth--) result = join(result, one(NAMES));
    return result;
  }

  /** Runs it on both and compares the results, or the errors. */
  async function both<T>(what: string, run: (tree: Tree, which: 'model' | 'tried') => Promise<T>): Promise<T[]> {
    log.push(what);
    if (log.length > 30) log.shift();
    const attempt = async (promise: Promise<T>) => {
      try {
        return { value: await promise, code: 'none' };
      } catch (error) {
        return { value: undefined, code: codeOf(error) };
      }
    };
    const expected = await attempt(run(model, 'model'));
    const actual = await attempt(wait(run(tried, 'tried')));
    assert.equal(actual.code, expected.code, `${what}: ${log.join('\n')}`);
    return expected.value === undefined || actual.value === undefined ? [] : [expected.value, actual.value];
  }

  async function same<T>(what: string, run: (tree: Tree) => Promise<T>): Promise<void> {
    const [expected, actual] = await both(what, run);
    assert.deepEqual(actual, expected, `${what}: ${log.join('\n')}`);
  }

  const handleOf = (pair: OpenPair, tree: Tree) => (tree === model ? pair.model : pair.tried);

  async function openFile(): Promise<void> {
    if (open.length >= OPEN_FILES) return closeFile();
    const flags =
      one([OPEN.read, OPEN.write, OPEN.read | OPEN.write, OPEN.read | OPEN.write | OPEN.append]) |
      one([0, OPEN.create, OPEN.create, OPEN.create | OPEN.exclusive, OPEN.create | OPEN.truncate]);
    const at = path();
    const [expected, actual] = await both(`open ${at} ${flags}`, (tree) =>
      tree.open(at, { ...OWNER, flags, permissions: 0o644, wantBytes: one([0, 4096]) }),
    );
    if (expected === undefined || actual === undefined) return;
    open.push({ flags, model: expected.handle, tried: actual.handle });
    assert.equal(actual.created, expected.created);
    assert.deepEqual(visible(actual.attributes), visible(expected.attributes), log.join('\n'));
  }

  async function closeFile(): Promise<void> {
    const pair = open.splice(pick(open.length), 1)[0];
    if (pair === undefined) return;
    await same('flush', (tree) => tree.flush(handleOf(pair, tree), 1n));
    await same('release', (tree) => tree.release(handleOf(pair, tree)));
  }

  /** A handle that has this access: what others may not do, the kernel refuses before any tree is asked. */
  async function withOpen(access: number, run: (pair: OpenPair) => Promise<void>): Promise<void> {
    const able = open.filter((pair) => (pair.flags & access) === access);
    if (able.length > 0) await run(one(able));
  }

  const operations: readonly (readonly [weight: number, run: () => Promise<void>])[] = [
    [8, openFile],
    [6, closeFile],
    [
      14,
      () =>
        withOpen(OPEN.write, async (pair) => {
          const [offset, data] = [pick(REACH), bytes(one([1, 100, 4096, 10_000, 70_000]))];
          await same(`write ${offset} ${data.length}`, async (tree) => {
            const { size, end } = await tree.write(handleOf(pair, tree), offset, data);
            return { size, end };
          });
        }),
    ],
    [
      14,
      () =>
        withOpen(OPEN.read, async (pair) => {
          const [offset, length] = [pick(REACH), one([1, 100, 4096, 131_072])];
          await same(`read ${offset} ${length}`, async (tree) =>
            Buffer.from(await tree.read(handleOf(pair, tree), offset, length)),
          );
        }),
    ],
    [3, () => withOpen(0, (pair) => same('fsync', (tree) => tree.fsync(handleOf(pair, tree), false)))],
    [
      4,
      () =>
        withOpen(0, (pair) =>
          same('getattr of a handle', async (tree) =>
            visible(await tree.getattr(NAMES[0] as ByteString, handleOf(pair, tree))),
          ),
        ),
    ],
    [
      4,
      () =>
        withOpen(OPEN.write, (pair) => {
          const size = pick(REACH);
          return same(`truncate to ${size}`, async (tree) =>
            visible(await tree.setattr(NAMES[0] as ByteString, handleOf(pair, tree), { size })),
          );
        }),
    ],
    [10, pathOperation((at) => same(`getattr ${at}`, async (tree) => visible(await tree.getattr(at, 0))))],
    [7, pathOperation((at) => same(`mkdir ${at}`, async (tree) => visible(await tree.mkdir(at, 0o755, OWNER))))],
    [2, pathOperation((at) => same(`mknod ${at}`, async (tree) => visible(await tree.mknod(at, 0o600, OWNER, false))))],
    [4, pathOperation((at) => same(`unlink ${at}`, (tree) => tree.unlink(at)))],
    [3, pathOperation((at) => same(`rmdir ${at}`, (tree) => tree.rmdir(at)))],
    [
      6,
      () => {
        const [from, to, flags] = [path(), path(), one([0, 0, 0, RENAME.noReplace, RENAME.exchange])];
        return same(`rename ${from} ${to} ${flags}`, (tree) => tree.rename(from, to, flags));
      },
    ],
    [
      3,
      () => {
        const [from, to] = [path(), path()];
        return same(`link ${from} ${to}`, async (tree) => visible(await tree.link(from, 0, to)));
      },
    ],
    [
      2,
      pathOperation((at) => {
        const target = bytes(1 + pick(30));
        return same(`symlink ${at}`, async (tree) => visible(await tree.symlink(at, target, OWNER)));
      }),
    ],
    [2, pathOperation((at) => same(`readlink ${at}`, async (tree) => Buffer.from(await tree.readlink(at))))],
    [
      3,
      pathOperation((at) => {
        const mode = one([0o600, 0o644, 0o755]);
        return same(`chmod ${at}`, async (tree) => visible(await tree.setattr(at, 0, { mode })));
      }),
    ],
    [
      2,
      pathOperation((at) => {
        const mtime = { sec: pick(2 ** 31), nsec: pick(1_000_000_000) };
        return same(`utimes ${at}`, async (tree) => {
          const { mtimeSec, mtimeNsec } = await tree.setattr(at, 0, { mtime });
          return { mtimeSec, mtimeNsec };
        });
      }),
    ],
    [
      2,
      pathOperation((at) => {
        const [name, value] = [fromText(one(['user.x', 'user.y/z'])), bytes(pick(50))];
        const flags = one([0, XATTR.create, XATTR.replace]);
        return same(`setxattr ${at} ${name} ${flags}`, (tree) => tree.setxattr(at, name, value, flags));
      }),
    ],
    [
      2,
      pathOperation((at) =>
        same(`getxattr ${at}`, async (tree) => Buffer.from(await tree.getxattr(at, fromText('user.x')))),
      ),
    ],
    [2, pathOperation((at) => same(`listxattr ${at}`, async (tree) => [...(await tree.listxattr(at))].sort()))],
    [5, pathOperation((at) => same(`list ${at}`, (tree) => listing(tree, at)))],
  ];
  const weights = operations.reduce((sum, [weight]) => sum + weight, 0);

  function pathOperation(run: (at: ByteString) => Promise<void>): () => Promise<void> {
    return () => run(path());
  }

  async function listing(tree: Tree, at: ByteString): Promise<unknown> {
    const handle = await tree.openDirectory(at);
    const entries: [string, object][] = [];
    let cursor = 0n;
    for (let end = false; !end;) {
      const page = await tree.readDirectory(handle, cursor, 3);
      end = page.end;
      for (const entry of page.entries) {
        entries.push([entry.name, visible(entry.attributes)]);
        cursor = entry.cursor;
      }
    }
    await tree.release(handle);
    return entries.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  return {
    log,
    async step() {
      let choice = random() * weights;
      for (const [weight, run] of operations) {
        choice -= weight;
        if (choice < 0) return run();
      }
    },
    async finish() {
      while (open.length > 0) await closeFile();
      const [expected, actual] = [await snapshot(model), await wait(snapshot(tried))];
      assert.deepEqual(actual, expected);
      assert.ok(Object.keys(expected).length > 5, 'the run left something to compare');
    },
  };
}

/** Every path with what is there: contents of files, targets of links, attributes. */
export async function snapshot(tree: Tree, at = '' as ByteString): Promise<Record<string, unknown>> {
  const result: Record<string, unknown> = {};
  const handle = await tree.openDirectory(at);
  const names: ByteString[] = [];
  let cursor = 0n;
  for (let end = false; !end;) {
    const page = await tree.readDirectory(handle, cursor, 100);
    end = page.end;
    for (const entry of page.entries) {
      names.push(entry.name);
      cursor = entry.cursor;
    }
  }
  await tree.release(handle);
  for (const name of names.sort()) {
    const path = join(at, name);
    const attributes = await tree.getattr(path, 0);
    const seen = visible(attributes);
    const type = attributes.mode & 0o170000;
    if (type === 0o040000) {
      result[path] = seen;
      Object.assign(result, await snapshot(tree, path));
    } else if (type === 0o120000) {
      result[path] = { ...seen, target: Buffer.from(await tree.readlink(path)).toString('hex') };
    } else {
      result[path] = { ...seen, contents: await contents(tree, path, attributes.size) };
    }
  }
  return result;
}

async function contents(tree: Tree, path: ByteString, size: number): Promise<string> {
  const { handle } = await tree.open(path, { ...OWNER, flags: OPEN.read, permissions: 0, wantBytes: 0 });
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < size; at += 65_536) pieces.push(await tree.read(handle, at, 65_536));
  await tree.release(handle);
  return Buffer.concat(pieces).toString('base64');
}
