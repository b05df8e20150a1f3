import { Args, Flags } from '@oclif/core';
import { configKey, loadConfig, parseSetting, showSetting, writeSetting } from '../../daemon/config.ts';
import { isRunning } from '../../daemon/control-client.ts';
import { prepareHome } from '../../daemon/home.ts';
import { PeerfsError } from '../../errors.ts';
import { command } from '../command.ts';

export default command({
  summary: 'Change one setting, or restore its default. It counts from the next start of the node.',
  examples: ['config set paths udp,tcp', 'config set listen 0.0.0.0:41000', 'config set name --default'],
  args: {
    KEY: Args.string({ description: 'from `peerfs config list`', required: true }),
    VALUE: Args.string({ description: 'the new value' }),
  },
  flags: { default: Flags.boolean({ summary: 'Restore the default.' }) },
  async run({ args, flags, home, print, say }) {
    const key = configKey(args.KEY);
    if ((args.VALUE === undefined) !== flags.default) {
      throw new PeerfsError('USAGE', 'give either a value or --default', { hint: `peerfs config set ${key} <value>` });
    }
    if (args.VALUE !== undefined) parseSetting(key, args.VALUE);
    const { configFile } = prepareHome(home.directory);
    writeSetting(configFile, key, args.VALUE);
    const value = loadConfig(configFile)[key];
    print({ key, value }, `${key} = ${showSetting(key, value)}`);
    if (await isRunning(home)) say('The running node keeps its old settings until it is restarted.');
  },
});
