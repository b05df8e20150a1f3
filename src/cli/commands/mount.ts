import { Args, Flags } from '@oclif/core';
import { resolve } from 'node:path';
import { isRunning } from '../../daemon/control-client.ts';
import type { MountStatus } from '../../daemon/control-protocol.ts';
import { runNode } from '../../daemon/launch.ts';
import { launchUnlessOvertaken } from '../../daemon/overtaken-launch.ts';
import { PeerfsError } from '../../errors.ts';
import { escapeControls } from '../../log.ts';
import { overridesOf, startFlags } from '../arguments.ts';
import { command } from '../command.ts';
import { passphraseFor } from '../passphrase.ts';

const mounted = (mount: MountStatus) => `Your peers are in ${escapeControls(mount.directory)}`;

export default command({
  summary: 'Mount the peers as folders; starts the node if none runs.',
  description:
    'Returns when the mount is ready. The folder is made if it is missing; without DIR it is the setting "mountpoint" (~/peers).',
  examples: ['mount', 'mount ~/friends', 'mount /srv/peers --allow-other --read-only', 'mount --foreground'],
  args: { DIR: Args.string({ description: 'where to mount' }) },
  flags: {
    ...startFlags,
    'allow-other': Flags.boolean({ summary: 'Let other users of this computer in too.' }),
    'read-only': Flags.boolean({ summary: 'Refuse every change.' }),
  },
  async run({ args, flags, home, ask, print, say }) {
    const request = {
      directory: args.DIR === undefined ? undefined : resolve(args.DIR),
      allowOther: flags['allow-other'] === true,
      readOnly: flags['read-only'] === true,
    };
    const running = await isRunning(home);
    const passphrase = running ? undefined : passphraseFor(home, flags['passphrase-file']);
    const overrides = overridesOf(flags);
    const options = { home: home.directory, overrides, passphrase, mount: request, onProgress: say };
    if (flags.foreground) {
      if (running) {
        throw new PeerfsError('NODE_ALREADY_RUNNING', `a node is already running for the home ${home.directory}`, {
          hint: 'Mount in it (peerfs mount), or stop it first (peerfs stop).',
        });
      }
      const node = runNode(options);
      const ready = await node.ready;
      if (ready.mount !== undefined) print(ready.mount, mounted(ready.mount));
      process.exitCode = await node.ended;
      return;
    }
    if (!running) {
      const ready = await launchUnlessOvertaken(options, home);
      if (ready !== undefined) {
        if (ready.mount !== undefined) print(ready.mount, mounted(ready.mount));
        return;
      }
    }
    const ignored = Object.keys(options.overrides);
    if (ignored.length > 0) say(`The node runs already, with its own settings; not applied: ${ignored.join(', ')}.`);
    const mount = await ask('mount', request);
    print(mount, mounted(mount));
  },
});
