import { Args } from '@oclif/core';
import { CONFIG_KEYS } from '../../daemon/config.ts';
import type { ControlCalls, ControlMethod } from '../../daemon/control-protocol.ts';
import { command } from '../command.ts';

type Ask = <M extends ControlMethod>(
  method: M,
  params: ControlCalls[M]['params'],
) => Promise<ControlCalls[M]['result']>;

/** What is completed with which names. */
const SOURCES = {
  peers: async (ask: Ask) => (await ask('peers', {})).map((peer) => peer.name),
  shares: async (ask: Ask) => (await ask('shares', {})).map((share) => share.name),
  invitations: async (ask: Ask) =>
    (await ask('invite.list', {})).filter((row) => row.state === 'open' || row.state === 'trying').map((row) => row.id),
  settings: async () => CONFIG_KEYS,
};

export type NameSource = keyof typeof SOURCES;

const isSource = (text: string): text is NameSource => Object.hasOwn(SOURCES, text);

export default command({
  summary: 'Print names for shell completion, one a line; nothing where no node runs.',
  hidden: true,
  examples: ['completion-names peers'],
  args: { SOURCE: Args.string({ options: Object.keys(SOURCES), required: true, description: 'which names' }) },
  async run({ args, ask, print }) {
    const names = isSource(args.SOURCE) ? await SOURCES[args.SOURCE](ask).catch(() => []) : [];
    print(names, names.join('\n'));
  },
});
