import { removeService } from '../../daemon/service.ts';
import { command } from '../command.ts';

export default command({
  summary: 'Remove the systemd user service.',
  examples: ['service remove'],
  async run({ print }) {
    const done = removeService();
    print(done, `Removed ${done.unit}.`);
  },
});
