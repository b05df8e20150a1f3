import { Help } from '@oclif/core';
import { command } from '../command.ts';
import { EXIT_CODES } from '../exit-codes.ts';

export default command({
  summary: 'Show help for peerfs, a command, or the exit codes.',
  examples: ['help', 'help invite', 'help exit-codes'],
  variadic: true,
  async run({ rest, config, print }) {
    if (rest[0] === 'exit-codes') {
      const rows = Object.values(EXIT_CODES);
      print(rows, rows.map(({ exit, meaning }) => `${String(exit).padStart(4)}  ${meaning}`).join('\n'));
      return;
    }
    await new Help(config, { flagSortOrder: 'none' }).showHelp([...rest]);
  },
});
