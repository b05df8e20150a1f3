import type { WatchEvent } from '../../daemon/control-protocol.ts';
import { escapeControls } from '../../log.ts';
import { command } from '../command.ts';
import { timeOfDay } from '../layout.ts';

const line = ({ at, peer, text }: WatchEvent): string =>
  escapeControls(`${timeOfDay(at)}  ${peer === undefined ? '' : `${peer}: `}${text}`);

export default command({
  summary: 'Print what changes, as it happens: peers, paths, the network, Tor.',
  description:
    'Begins with how things are; ends with Ctrl-C, and with exit code 3 when the node stops. With --json one object a line.',
  examples: ['watch', 'watch --json'],
  async run({ flags, ask }) {
    const enough = new AbortController();
    process.once('SIGINT', () => enough.abort());
    const onLine = (text: string) =>
      process.stdout.write(`${flags.json ? text : line(JSON.parse(text) as WatchEvent)}\n`);
    try {
      await ask('watch', {}, { onLine, signal: enough.signal });
    } catch (error) {
      if (!enough.signal.aborted) throw error;
    }
  },
});
