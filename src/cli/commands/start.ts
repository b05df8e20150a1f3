import { isRunning } from '../../daemon/control-client.ts';
import { launchNode, runNode } from '../../daemon/launch.ts';
import { overridesOf, startFlags } from '../arguments.ts';
import { command } from '../command.ts';
import { passphraseFor } from '../passphrase.ts';

export default command({
  summary: 'Start the node, without a mount.',
  description:
    'A node keeps in touch with the peers and serves what is shared. One runs for each home; it goes to the background unless --foreground is given. A flag wins over the setting of the same name (peerfs config list).',
  examples: ['start', 'start --listen 0.0.0.0:41000', 'start --foreground --paths udp --no-lan'],
  flags: startFlags,
  async run({ flags, home, print, say }) {
    // One that runs has its keys.
    const passphrase = (await isRunning(home)) ? undefined : passphraseFor(home, flags['passphrase-file']);
    const options = { home: home.directory, overrides: overridesOf(flags), passphrase, onProgress: say };
    if (!flags.foreground) {
      const ready = await launchNode(options);
      print(ready, `The node is running (process ${ready.pid}), listening on ${ready.listening.join(' and ')}.`);
      return;
    }
    const node = runNode(options);
    const ready = await node.ready;
    print(ready, `The node is running, listening on ${ready.listening.join(' and ')}.`);
    process.exitCode = await node.ended;
  },
});
