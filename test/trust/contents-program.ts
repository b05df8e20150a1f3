/**
 * Random operations on files below a folder, seen through one mount or several, against a model in memory:
 * `node contents-program.js SEED OPERATIONS NAMES PLACE...`. Every difference ends it with what was done last.
 *
 * A file that is open at one place is touched there alone until it is closed: what another place sees meanwhile is not promised.
 */
import {
  closeSync,
  copyFileSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { createRandom } from '../wire/samples.ts';

/** The largest offset of a write, and the longest, bytes. */
const REACH = 200_000;
const LONGEST = 20_000;
const HELD = 4;
const LOGGED = 25;

interface Inode {
  data: Buffer;
}

interface Held {
  readonly place: string;
  readonly descriptor: number;
  readonly inode: Inode;
  readonly appends: boolean;
}

const [seed = '', count = '', nameCount = '', ...places] = process.argv.slice(2);
const random = createRandom(Number(seed));
const below = (limit: number) => Math.floor(random() * limit);
const one = <T>(items: readonly T[]): T => {
  const item = items[below(items.length)];
  if (item === undefined) throw new Error('nothing to choose from');
  return item;
};
const names = Array.from({ length: Number(nameCount) }, (_, index) => `file ${index}`);
const files = new Map<string, Inode>();
let held: Held[] = [];
let log: string[] = [];
let compared = 0;

function differ(what: string): never {
  console.error(`seed ${seed}: ${what}\nlast operations:\n${log.join('\n')}`);
  process.exit(1);
}

function same(what: string, got: Buffer, want: Buffer): void {
  compared += 1;
  if (got.equals(want)) return;
  let at = 0;
  while (at < got.length && at < want.length && got[at] === want[at]) at += 1;
  differ(`${what}: ${got.length} bytes instead of ${want.length}, the first difference at ${at}`);
}

/** Where the file may be touched now. */
function placeFor(...inodes: readonly (Inode | undefined)[]): string | undefined {
  const holders = new Set(held.filter(({ inode }) => inodes.includes(inode)).map(({ place }) => place));
  return holders.size > 1 ? undefined : ([...holders][0] ?? one(places));
}

function bytes(): Buffer {
  const filled = Buffer.alloc(1 + below(LONGEST), below(256));
  filled.writeUInt8(below(256), below(filled.length));
  return filled;
}

function put(inode: Inode, at: number, written: Buffer): void {
  const size = Math.max(inode.data.length, at + written.length);
  const data = Buffer.alloc(size);
  inode.data.copy(data);
  written.copy(data, at);
  inode.data = data;
}

function resize(inode: Inode, size: number): void {
  const data = Buffer.alloc(size);
  inode.data.copy(data);
  inode.data = data;
}

const writeAll = (descriptor: number, written: Buffer, at: number | null) => {
  const done = writeSync(descriptor, written, 0, written.length, at);
  if (done !== written.length) differ(`${done} bytes written of ${written.length}`);
};

function writeByName(name: string): void {
  const inode = files.get(name);
  const place = placeFor(inode);
  if (place === undefined) return;
  const flags = inode === undefined ? one(['wx', 'a', 'w']) : one(['r+', 'r+', 'r+', 'a', 'w']);
  const target = inode ?? { data: Buffer.alloc(0) };
  const written = bytes();
  const at = flags === 'a' ? null : below(REACH);
  log.push(`${place}: ${name}: open ${flags}, write ${written.length} at ${at ?? 'the end'}`);
  const descriptor = openSync(`${place}/${name}`, flags);
  if (flags === 'w') resize(target, 0);
  files.set(name, target);
  writeAll(descriptor, written, at);
  put(target, at ?? target.data.length, written);
  if (random() < 0.1) fsyncSync(descriptor);
  closeSync(descriptor);
}

function hold(name: string): void {
  const inode = files.get(name);
  const place = placeFor(inode);
  if (inode === undefined || place === undefined || held.length >= HELD) return;
  const appends = random() < 0.2;
  log.push(`${place}: ${name}: held open${appends ? ' to append' : ''}`);
  held.push({ place, descriptor: openSync(`${place}/${name}`, appends ? 'a+' : 'r+'), inode, appends });
}

function useHeld(): void {
  if (held.length === 0) return;
  const { place, descriptor, inode, appends } = one(held);
  const size = inode.data.length;
  switch (below(6)) {
    case 0:
    case 1: {
      const written = bytes();
      const at = appends ? size : below(REACH);
      log.push(`${place}: held: write ${written.length} at ${at}`);
      writeAll(descriptor, written, appends ? null : at);
      put(inode, at, written);
      break;
    }
    case 2: {
      const at = below(size + 100);
      const room = Buffer.alloc(1 + below(LONGEST * 3));
      log.push(`${place}: held: read ${room.length} at ${at}`);
      same(
        'read of an open file',
        room.subarray(0, readSync(descriptor, room, 0, room.length, at)),
        inode.data.subarray(at, at + room.length),
      );
      break;
    }
    case 3: {
      const length = below(REACH);
      log.push(`${place}: held: truncate to ${length}`);
      ftruncateSync(descriptor, length);
      resize(inode, length);
      break;
    }
    case 4:
      log.push(`${place}: held: fsync and size`);
      fsyncSync(descriptor);
      if (fstatSync(descriptor).size !== size)
        differ(`an open file of ${fstatSync(descriptor).size} bytes instead of ${size}`);
      break;
    default:
      log.push(`${place}: held: close`);
      closeSync(descriptor);
      held = held.filter((other) => other.descriptor !== descriptor);
  }
}

function read(name: string): void {
  const inode = files.get(name);
  const place = placeFor(inode);
  if (place === undefined) return;
  log.push(`${place}: ${name}: read whole`);
  if (inode !== undefined) same(`${name} read at ${place}`, readFileSync(`${place}/${name}`), inode.data);
  else if (statSync(`${place}/${name}`, { throwIfNoEntry: false }) !== undefined)
    differ(`${name} is there at ${place}`);
}

function look(name: string): void {
  const inode = files.get(name);
  const place = placeFor(inode);
  if (inode === undefined || place === undefined) return;
  log.push(`${place}: ${name}: size`);
  const { size } = statSync(`${place}/${name}`);
  if (size !== inode.data.length) differ(`${name} has ${size} bytes at ${place} instead of ${inode.data.length}`);
}

function list(): void {
  const place = one(places);
  log.push(`${place}: list`);
  const found = readdirSync(place).sort().join();
  const wanted = [...files.keys()].sort().join();
  if (found !== wanted) differ(`${place} lists ${found} instead of ${wanted}`);
}

/** rename, link, copy: of two names. */
function two(name: string, other: string): void {
  const inode = files.get(name);
  const target = files.get(other);
  const place = placeFor(inode, target);
  if (inode === undefined || place === undefined || name === other) return;
  const paths = [`${place}/${name}`, `${place}/${other}`] as const;
  switch (below(4)) {
    case 0:
      if (target !== undefined) return;
      log.push(`${place}: ${name}: link ${other}`);
      linkSync(...paths);
      files.set(other, inode);
      break;
    case 1:
      if (target === inode) return;
      log.push(`${place}: ${name}: copy to ${other}`);
      copyFileSync(...paths);
      if (target === undefined) files.set(other, { data: Buffer.from(inode.data) });
      else target.data = Buffer.from(inode.data);
      break;
    default:
      log.push(`${place}: ${name}: rename to ${other}`);
      renameSync(...paths);
      // Two names of one file: rename(2) does nothing.
      if (target === inode) return;
      files.set(other, inode);
      files.delete(name);
  }
}

function change(name: string): void {
  const inode = files.get(name);
  const place = placeFor(inode);
  if (inode === undefined || place === undefined) return;
  if (random() < 0.5) {
    const length = below(REACH);
    log.push(`${place}: ${name}: truncate to ${length}`);
    truncateSync(`${place}/${name}`, length);
    resize(inode, length);
  } else {
    log.push(`${place}: ${name}: unlink`);
    unlinkSync(`${place}/${name}`);
    files.delete(name);
  }
}

for (let index = 0; index < Number(count); index += 1) {
  log = log.slice(-LOGGED);
  const kind = below(100);
  const name = one(names);
  try {
    if (kind < 25) writeByName(name);
    else if (kind < 32) hold(name);
    else if (kind < 55) useHeld();
    else if (kind < 72) read(name);
    else if (kind < 80) look(name);
    else if (kind < 85) list();
    else if (kind < 94) two(name, one(names));
    else change(name);
  } catch (error) {
    differ(`operation ${index}: ${String(error)}`);
  }
}
for (const { descriptor } of held) closeSync(descriptor);
held = [];
for (const name of names) for (let times = 0; times < places.length; times += 1) read(name);
list();
console.log(JSON.stringify({ operations: Number(count), compared }));
