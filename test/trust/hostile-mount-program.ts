/**
 * A process that mounts two peers, an honest one (bob) and one who lies (mallory); its argument is the mountpoint. It says
 * "ready", then answers each line of JSON: { "do": "status" }.
 */
import { createInterface } from 'node:readline';
import { systemClock } from '../../src/clock.ts';
import { PeerfsError } from '../../src/errors.ts';
import { mountFuse } from '../../src/fs/fuse/mount.ts';
import { createMount } from '../../src/fs/mount.ts';
import { silentLogger } from '../../src/log.ts';
import { createMemoryTree } from '../fs/memory-tree.ts';
import { p } from '../fs/remote-fixture.ts';
import { createHostileServer, servePeer } from './hostile-server.ts';

export interface HostileMountStatus {
  readonly rssBytes: number;
  /** Entries that mallory has listed. */
  readonly listed: number;
  /** flush and fsync calls that bob was asked. */
  readonly flushes: number;
}

const [mountpoint = ''] = process.argv.slice(2);
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

let flushes = 0;
const bob = servePeer(createMemoryTree(), (honest) => ({
  flush: (request, context) => {
    flushes += 1;
    return honest.flush(request, context);
  },
  fsync: (request, context) => {
    flushes += 1;
    // Bob's disk is broken: whoever asks must hear it.
    return request.dataOnly ? honest.fsync(request, context) : Promise.reject(new PeerfsError('ENOSPC'));
  },
}));
const mallory = await createHostileServer();
const peers = [
  { petname: p('bob'), peerId: 'bob', remote: bob },
  { petname: p('mallory'), peerId: 'mallory', remote: mallory.remote },
];
const fileSystem = createMount({
  peers: { list: () => peers, onChange: () => () => undefined },
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  inodeKey: Buffer.alloc(16, 1),
  readOnly: false,
  clock: systemClock,
  log: silentLogger,
});
const mount = await mountFuse(fileSystem, {
  mountpoint,
  readOnly: false,
  allowOther: false,
  log: silentLogger,
  onEnd: (reason) => say({ ended: reason }),
});
fileSystem.setNotifier(mount.notifier);
createInterface({ input: process.stdin }).on('line', () => {
  const answer: HostileMountStatus = { rssBytes: process.memoryUsage.rss(), listed: mallory.listed(), flushes };
  say({ answer });
});
process.stdin.on('end', () => void mount.unmount().then(() => process.exit(0)));
say('ready');
