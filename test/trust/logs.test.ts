/** What the logs of two nodes say after much has gone well and badly: no name, key, code or address, and nothing raw. */
import assert from 'node:assert/strict';
import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, introduce, isMounted, openLab, run, sh, untilLive } from '../e2e/lab.ts';

const ESCAPE = '\u001b[31m';
const FILE = `canary-file${ESCAPE}`;
const FOLDER = 'canary-folder';
const SHARE = 'canary-share';

test(
  'logs name no file, peer, share, key, code or address, and hold no control characters',
  { timeout: 120_000 },
  async () => {
    const lab = openLab(['canary-alice', 'canary-bob']);
    try {
      const [alice, bob] = [lab.host('canary-alice'), lab.host('canary-bob')];
      for (const host of lab.hosts) {
        await host.start();
        await host.mount();
      }
      await introduce(bob, alice);
      await untilLive(alice, bob.name);
      const folder = join(bob.files, FOLDER);
      await sh('mkdir "$1" && echo secret > "$1/$2"', [folder, FILE]);
      await bob.json(['share', folder, '--name', SHARE, '--write']);
      const shared = alice.at(bob.name, SHARE);
      await eventually('the share is there', 10_000, async () =>
        (await run(['ls', shared])).status === 0 ? true : undefined,
      );

      // What goes well.
      await sh('cp "$1/$2" "$1/$2-copy"; mv "$1/$2-copy" "$1/$2-moved"; ln -s "$2" "$1/link"; ls -la "$1" > "$3"', [
        shared,
        FILE,
        join(alice.files, 'listing'),
      ]);
      // What does not: names, rights, a folder that goes away under its share, contacts and commands that are wrong.
      await run([
        'sh',
        '-c',
        'cat "$1/none"; rmdir "$1"; mknod "$1/device" c 1 3; chown 12345 "$1/$2"',
        'sh',
        shared,
        FILE,
      ]);
      renameSync(folder, `${folder}-gone`);
      await run(['ls', shared], { timeoutMs: 20_000 });
      const invite = (await bob.json(['invite', '--name', 'canary-carol'])) as { invitation: string; code: string };
      const wrong = 'abacus abdomen abdominal abide abiding ability';
      const refused = await alice.peerfs(['accept', invite.invitation, '--name', 'canary-wrong'], {
        env: { PEERFS_CODE: wrong },
      });
      assert.notEqual(refused.status, 0);
      await alice.peerfs(['peers', 'rename', bob.name, `canary-other`]);
      await alice.peerfs(['config', 'set', 'canary.setting', 'canary-value']);
      const ids = await Promise.all(lab.hosts.map(async (host) => (await host.json(['id'])) as { id: string }));
      // And a node that is killed in the middle of something.
      const writing = run(['sh', '-c', 'head -c 50000000 /dev/zero > "$1/canary-big"', 'sh', alice.at('canary-other')]);
      process.kill(await bob.pid(), 'SIGKILL');
      await writing;
      await eventually('the dead mount is gone', 5000, async () => (isMounted(bob.mountpoint) ? undefined : true));
      await bob.start();

      for (const host of lab.hosts) {
        const log = readFileSync(join(host.home, 'node.log'), 'utf8');
        assert.match(log, /node\.ready/, 'there is a log');
        for (const word of [
          'canary',
          'secret',
          '10.77.',
          '127.0.0.1',
          invite.invitation,
          lab.directory,
          ...ids.map(({ id }) => id),
        ])
          assert.ok(!log.includes(word), `${host.name}'s log says ${word}:\n${log}`);
        for (const word of invite.code.split('-'))
          assert.doesNotMatch(log, new RegExp(`\\b${word}\\b`), 'a word of the code');
        assert.doesNotMatch(log, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/, 'a control character');
      }
    } finally {
      await lab.close();
    }
  },
);
