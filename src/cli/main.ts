/** The entry of the command line: runs one command, prints its failure, sets the exit code. */
import { join, relative } from 'node:path';
import { Config, run, type Interfaces } from '@oclif/core';
import { packageRoot, packageVersion } from '../daemon/version.ts';
import { EXIT } from '../errors.ts';
import { chosenCommand, globalFlagsLast } from './command-line.ts';
import { report } from './report.ts';

async function loadCommands(): Promise<Config> {
  const root = packageRoot();
  const config = new Config({
    root,
    // No plug-ins, nothing looked for on disk: the commands are what commands.ts names.
    devPlugins: false,
    userPlugins: false,
    pjson: {
      name: 'peerfs',
      version: packageVersion(),
      type: 'module',
      oclif: {
        bin: 'peerfs',
        topicSeparator: ' ',
        additionalHelpFlags: ['-h'],
        commands: {
          strategy: 'explicit',
          target: `./${relative(root, join(import.meta.dirname, 'commands.js'))}`,
          identifier: 'COMMANDS',
        },
        topics: {
          peers: { description: 'Peers: list, rename, remove.' },
          invite: { description: 'Invitations: make, list, revoke.' },
          config: { description: 'Settings: get, set, list.' },
          service: { description: 'Run the node as a systemd user service.' },
        },
        helpOptions: { flagSortOrder: 'none', maxWidth: 100 },
      },
    } satisfies Interfaces.PJSON,
  });
  await config.load();
  return config;
}

const argv = globalFlagsLast(process.argv.slice(2));
const asksForHelp = argv.some((word) => word === '--help' || word === '-h' || word === '--version');
let command: string | undefined;
// In place of oclif's listener, which throws.
process.stdout.removeAllListeners('error');
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader went away (`peerfs peers | head -1`).
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  process.exit(report(error, [], command));
});
try {
  const config = await loadCommands();
  const chosen = chosenCommand(argv, config.commandIDs);
  command = chosen?.id;
  // oclif's own way would take a first argument for a part of the command's name.
  if (chosen === undefined || asksForHelp) await run(argv, config);
  else await config.runCommand(chosen.id, [...chosen.argv]);
} catch (error) {
  if (process.env['PEERFS_DEBUG'] === '1') console.error(error);
  process.exitCode = report(error, argv, command);
}
