import { Flags } from '@oclif/core';
import { isRunning } from '../../daemon/control-client.ts';
import { installService } from '../../daemon/service.ts';
import { command } from '../command.ts';

export default command({
  summary: 'Install a systemd user service that mounts at login.',
  examples: ['service install', 'service install --no-enable'],
  flags: { enable: Flags.boolean({ summary: 'Also enable and start it.', allowNo: true, default: true }) },
  async run({ flags, home, print }) {
    const running = await isRunning(home);
    const { unit, advice } = installService(home.directory, flags.enable === true && !running);
    const first = running ? ['A node is running already. Stop it, so that the service can start it: peerfs stop'] : [];
    print({ unit, advice: [...first, ...advice] }, [`Wrote ${unit}.`, ...first, ...advice].join('\n'));
  },
});
