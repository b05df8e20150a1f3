import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peerfsMountOf } from '../../src/daemon/places.ts';

const mount = (mountpoint: string, type: string) => ({ mountpoint, type, device: '0:1' });

test('a folder lies in a mount of peerfs if the innermost mount that holds it is one', () => {
  const mounts = [mount('/', 'ext4'), mount('/home/a/peers', 'fuse.peerfs'), mount('/home/a/peers/disk', 'tmpfs')];
  assert.equal(peerfsMountOf('/home/a/peers', mounts), '/home/a/peers');
  assert.equal(peerfsMountOf('/home/a/peers/bob/work', mounts), '/home/a/peers');
  assert.equal(peerfsMountOf('/home/a/peers/disk/x', mounts), undefined);
  assert.equal(peerfsMountOf('/home/a/peers2', mounts), undefined);
  assert.equal(peerfsMountOf('/home/a', mounts), undefined);
  assert.equal(peerfsMountOf('/home', []), undefined);
  const stacked = [...mounts, mount('/home/a/peers', 'ext4')];
  assert.equal(peerfsMountOf('/home/a/peers/bob', stacked), undefined, 'what is mounted last is seen');
});
