import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { IN, openInotify, parseEvents, type InotifyEvent } from '../../src/sys/inotify.ts';

test('events come by themselves, or are taken before', { timeout: 10_000 }, async () => {
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'peerfs-inotify-'));
  const alive = setInterval(() => undefined, 1000);
  let heard: ((events: readonly InotifyEvent[]) => void) | undefined;
  const inotify = openInotify((events) => heard?.(events));
  try {
    const watch = inotify.add(folder, IN.CREATE | IN.DELETE | IN.ONLYDIR);
    fs.writeFileSync(path.join(folder, 'taken'), '');
    const taken = inotify.read();
    assert.deepEqual(taken, [{ watch, mask: IN.CREATE, name: 'taken' }]);
    assert.deepEqual(inotify.read(), []);
    const next = new Promise<readonly InotifyEvent[]>((resolve) => (heard = resolve));
    fs.mkdirSync(path.join(folder, 'told'));
    assert.deepEqual(await next, [{ watch, mask: IN.CREATE | IN.ISDIR, name: 'told' }]);
    inotify.remove(watch);
    assert.equal(inotify.read()[0]?.mask, IN.IGNORED);
  } finally {
    inotify.close();
    clearInterval(alive);
    fs.rmSync(folder, { recursive: true });
  }
});

test('a cut or strange queue is read as far as it goes', () => {
  assert.deepEqual(parseEvents(Buffer.alloc(15), 15), []);
  const overflow = Buffer.alloc(16);
  overflow.writeInt32LE(-1, 0);
  overflow.writeUInt32LE(IN.Q_OVERFLOW, 4);
  assert.deepEqual(parseEvents(overflow, 16), [{ watch: -1, mask: IN.Q_OVERFLOW, name: '' }]);
});
