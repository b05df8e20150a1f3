import { Args, Flags } from '@oclif/core';
import { resolve } from 'node:path';
import { isRunning } from '../../daemon/control-client.ts';
import type { MountStatus } from '../../daemon/control-protocol.ts';
import type { Home } from '../../daemon/home.ts';
import { launchNode, runNode, type LaunchOptions, type ReadyReport } from '../../daemon/launch.ts';
import { codeOf, PeerfsError } from '../../errors.ts';
import { escapeControls } from '../../log.ts';
import { overridesOf, startFlags } from '../arguments.ts';
import { command } from '../command.ts';

const mounted = (mount: MountStatus) => `Your peers are in ${escapeControls(mount.directory)}`;

/** How long a node that another command has just started may take until it answers, milliseconds. */
const OTHER_START_MS = 20_000;
const LOOK_MS = 50;

/** @returns undefined when another command started a node at the same time, which answers now. */
async function launchUnlessOvertaken(options: LaunchOptions, home: Home): Promise<ReadyReport | undefined> {
  try {
    return await launchNode(options);
  } catch (error) {
    if (codeOf(error) !== 'NODE_ALREADY_RUNNING') throw error;
    for (const end = performance.now() + OTHER_START_MS; !(await isRunning(home));) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return undefined;
  }
}

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
    const options = { home: home.directory, overrides: overridesOf(flags), mount: request, onProgress: say };
    const running = await isRunning(home);
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
    if (ignored.length > 0) say(`The node runs already: ${ignored.map((key) => `--${key}`).join(', ')} not applied.`);
    const mount = await ask('mount', request);
    print(mount, mounted(mount));
  },
});
