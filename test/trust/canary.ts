/** A folder beside a share that nobody may touch, and what the kernel tells of those who do. */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openInotify, type InotifyEvent } from '../../src/sys/inotify.ts';

const CONTENTS = 'outside the share';
/** Everything that inotify(7) tells of: reading, opening and looking into, too. */
const ALL_EVENTS = 0xfff;
const FILES = ['canary', 'f', 'deep/canary', 'deep/d/f'];
const FOLDERS = ['.', 'deep', 'deep/d'];

export interface Cage {
  readonly base: string;
  /** To be shared. */
  readonly inside: string;
  /** Beside it. */
  readonly outside: string;
  /** What happened beside the share until now: empty if nothing did. */
  touched(): readonly string[];
  /** Fails if anything beside the share was touched or is not as it was; removes all. */
  close(): void;
}

export function openCage(): Cage {
  const base = fs.mkdtempSync(path.join(tmpdir(), 'peerfs-cage-'));
  const inside = path.join(base, 'inside');
  const outside = path.join(base, 'outside');
  fs.mkdirSync(inside);
  fs.mkdirSync(path.join(outside, 'deep', 'd'), { recursive: true });
  for (const file of FILES) fs.writeFileSync(path.join(outside, file), CONTENTS, { mode: 0o644 });
  const stats = () =>
    [...FILES, ...FOLDERS].map((name) => {
      const { mode, uid, gid, nlink, size, mtimeMs, ctimeMs } = fs.lstatSync(path.join(outside, name));
      return { name, mode, uid, gid, nlink, size, mtimeMs, ctimeMs };
    });
  const before = stats();

  const watched = new Map<number, string>();
  const seen: string[] = [];
  const note = (events: readonly InotifyEvent[]) => {
    for (const { watch, mask, name } of events) {
      const at = watched.get(watch);
      // Of the folder that holds both, what happens to the share itself is no news.
      if (at === base && (name === path.basename(inside) || name === '')) continue;
      seen.push(`${at ?? 'events were lost'}/${name}: ${mask.toString(16)}`);
    }
  };
  const inotify = openInotify(note);
  for (const folder of FOLDERS) {
    const place = path.join(outside, folder);
    watched.set(inotify.add(place, ALL_EVENTS), place);
  }
  watched.set(inotify.add(base, ALL_EVENTS), base);
  const touched = () => {
    note(inotify.read());
    return seen;
  };

  // It does see: without this a test would hold that watches nothing.
  fs.readFileSync(path.join(outside, 'canary'));
  assert.notEqual(touched().length, 0);
  seen.length = 0;

  return {
    base,
    inside,
    outside,
    touched,
    close() {
      try {
        assert.deepEqual(touched(), []);
        inotify.close();
        assert.deepEqual(stats(), before);
        for (const file of FILES) assert.equal(fs.readFileSync(path.join(outside, file), 'utf8'), CONTENTS);
        assert.deepEqual(fs.readdirSync(outside).sort(), ['canary', 'deep', 'f']);
        assert.deepEqual(fs.readdirSync(base).sort(), ['inside', 'outside']);
      } finally {
        inotify.close();
        fs.rmSync(base, { recursive: true, force: true });
      }
    },
  };
}
