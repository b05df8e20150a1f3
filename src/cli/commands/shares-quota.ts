import { Args } from '@oclif/core';
import { formatSize } from '../../daemon/setting-values.ts';
import { parseQuota } from '../arguments.ts';
import { command } from '../command.ts';

export default command({
  summary: 'Change how much the folder of a share may hold.',
  examples: ['shares quota project 20G', 'shares quota project none'],
  args: {
    NAME: Args.string({ description: 'the share', required: true }),
    SIZE: Args.string({ description: 'such as 500M or 10G, or none', required: true }),
  },
  async run({ args, ask, print }) {
    const share = await ask('shares.quota', { name: args.NAME, bytes: parseQuota(args.SIZE) });
    const may = share.quota === null ? 'as much as the disk' : formatSize(share.quota);
    print(share, `"${share.name}" may hold ${may}.`);
  },
});
