import type { WatchEvent } from '../../daemon/control-protocol.ts';
import { escapeControls } from '../../log.ts';
import { command } from '../command.ts';

const line = ({ at, peer, text }: WatchEvent): string =>
  `${new Date(at).toLocaleTimeString()}  ${peer === undefined ? '' : `${escapeControls(peer)}: `}${escapeControls(text)}`;

export default command({
  summary: 'Print what changes, as it happens: peers, paths, the network, Tor.',
  description: 'Begins with how things are; ends with Ctrl-C, or when the node stops. With --json one object a line.',
  examples: ['watch', 'watch --json'],
  async run({ flags, ask }) {
    await ask(
      'watch',
      {},
      {
        onProgress: (text) =>
          process.stdout.write(flags.json ? `${text}\n` : `${line(JSON.parse(text) as WatchEvent)}\n`),
      },
    );
  },
});
