import { Args, Flags } from '@oclif/core';
import { resolve } from 'node:path';
import { PeerfsError } from '../../errors.ts';
import { escapeControls } from '../../log.ts';
import { parseQuota } from '../arguments.ts';
import { command } from '../command.ts';

export default command({
  summary: 'Share a folder with peers: they see it in the folder that stands for you.',
  examples: ['share ~/Photos', 'share ~/Photos --to bob --to carol', 'share ~/work --name project --write --to bob'],
  args: { DIR: Args.string({ description: 'the folder', required: true }) },
  flags: {
    name: Flags.string({ summary: "What peers see it as; else the folder's name." }),
    to: Flags.string({
      summary: 'Only these peers; else all, those to come too.',
      helpValue: '<peer>',
      multiple: true,
    }),
    write: Flags.boolean({ summary: 'Peers may change what is in it.' }),
    quota: Flags.string({
      summary: 'How much the folder may hold: peers that may write get no further (500M, 10G, none).',
      helpValue: '<size>',
    }),
    idmap: Flags.string({
      summary: 'user: files belong to the users at both ends. none: numeric owners pass as they are (root only).',
      options: ['user', 'none'],
      default: 'user',
    }),
  },
  async run({ args, flags, ask, print }) {
    const quota = flags.quota === undefined ? undefined : parseQuota(flags.quota);
    if (quota !== undefined && flags.write !== true) {
      throw new PeerfsError('USAGE', 'a quota is for folders that peers may change', { hint: 'Add --write.' });
    }
    const share = await ask('share', {
      directory: resolve(args.DIR),
      name: flags.name,
      to: flags.to,
      writable: flags.write === true,
      idmap: flags.idmap === 'none' ? 'none' : 'user',
      quota,
    });
    const to = share.to === null ? 'all peers' : share.to.join(', ');
    print(
      share,
      `${escapeControls(share.directory)} is shared as "${share.name}" with ${to}, ${share.writable ? 'to change' : 'to read'}.`,
    );
  },
});
