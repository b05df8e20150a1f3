import { Args } from '@oclif/core';
import { configKey, loadConfig, showSetting } from '../../daemon/config.ts';
import { command } from '../command.ts';

export default command({
  summary: 'Print one setting.',
  examples: ['config get listen'],
  args: { KEY: Args.string({ description: 'from `peerfs config list`', required: true }) },
  async run({ args, home, print }) {
    const key = configKey(args.KEY);
    const value = loadConfig(home.configFile)[key];
    print({ key, value }, showSetting(key, value));
  },
});
