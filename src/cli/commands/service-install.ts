import { Flags } from '@oclif/core';
import { installService } from '../../daemon/service.ts';
import { command } from '../command.ts';

export default command({
  summary: 'Install a systemd user service that mounts at login.',
  examples: ['service install', 'service install --no-enable'],
  flags: { enable: Flags.boolean({ summary: 'Also enable and start it.', allowNo: true, default: true }) },
  async run({ flags, home, print }) {
    const done = installService(home.directory, flags.enable === true);
    print(done, `Wrote ${done.unit}.\n${done.advice.join('\n')}`);
  },
});
