import { Args } from '@oclif/core';
import { command } from '../command.ts';
import { bashCompletion, zshCompletion } from '../completion-script.ts';

export default command({
  summary: 'Print a completion script for bash or zsh.',
  examples: [
    'completion bash > ~/.local/share/bash-completion/completions/peerfs',
    'completion zsh > ~/.zfunc/_peerfs',
  ],
  args: { SHELL: Args.string({ options: ['bash', 'zsh'], required: true, description: 'bash or zsh' }) },
  async run({ args, config, print }) {
    const script = args.SHELL === 'zsh' ? zshCompletion(config) : bashCompletion(config);
    print({ shell: args.SHELL, script }, script);
  },
});
