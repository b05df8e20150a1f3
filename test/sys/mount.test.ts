import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mountAt, parseMountInfo } from '../../src/sys/mount.ts';

const SAMPLE = Buffer.from(
  [
    '22 1 0:21 / / rw,relatime - ext4 /dev/vda rw',
    '36 35 98:0 /mnt1 /mnt/a\\040b\\134c\\012 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw',
    '40 22 0:45 / /home/u/peers rw,nosuid,nodev - fuse.peerfs peerfs rw,user_id=0',
    '41 40 0:46 / /home/u/peers rw - tmpfs none rw',
    '42 22 0:47 / /home/\xc3\xbc rw - tmpfs none rw',
    'not a line of it',
    '',
  ].join('\n'),
  'latin1',
);

test('mountinfo is read with its optional fields and escapes; what is no line of it is passed over', () => {
  assert.deepEqual(parseMountInfo(SAMPLE), [
    { mountpoint: '/', type: 'ext4', device: '0:21' },
    { mountpoint: '/mnt/a b\\c\n', type: 'ext3', device: '98:0' },
    { mountpoint: '/home/u/peers', type: 'fuse.peerfs', device: '0:45' },
    { mountpoint: '/home/u/peers', type: 'tmpfs', device: '0:46' },
    { mountpoint: '/home/ü', type: 'tmpfs', device: '0:47' },
  ]);
});

test('of mounts on one another the last is the one that is seen', () => {
  assert.equal(mountAt('/home/u/peers', parseMountInfo(SAMPLE))?.type, 'tmpfs');
  assert.equal(mountAt('/home/u', parseMountInfo(SAMPLE)), undefined);
});
