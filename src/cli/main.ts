/** The entry of the command line: runs one command, prints its failure, sets the exit code. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { Config, run, type Interfaces } from '@oclif/core';
import { EXIT } from '../errors.ts';
import { report } from './report.ts';

/** The folder with package.json above this file. */
function packageRoot(): string {
  let at = import.meta.dirname;
  while (!existsSync(join(at, 'package.json')) && dirname(at) !== at) at = dirname(at);
  return at;
}

async function loadCommands(): Promise<Config> {
  const root = packageRoot();
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const config = new Config({
    root,
    // No plug-ins, nothing looked for on disk: the commands are what commands.ts names.
    devPlugins: false,
    userPlugins: false,
    pjson: {
      name: 'peerfs',
      version: manifest.version,
      type: 'module',
      oclif: {
        bin: 'peerfs',
        topicSeparator: ' ',
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

const argv = process.argv.slice(2);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader went away (`peerfs peers | head -1`).
  process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed);
});
try {
  await run(argv, await loadCommands());
} catch (error) {
  if (process.env['PEERFS_DEBUG'] === '1') console.error(error);
  process.exitCode = report(error, argv);
}
