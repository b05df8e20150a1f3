import { Args, Flags } from '@oclif/core';
import { readFileSync } from 'node:fs';
import { EXIT, PeerfsError } from '../../errors.ts';
import { readInvitation } from '../arguments.ts';
import { command } from '../command.ts';
import { askSecret } from '../prompt.ts';

/** Never from argv: other users can read that. */
function readCode(file: string | undefined): string {
  if (file !== undefined) {
    try {
      return readFileSync(file === '-' ? 0 : file, 'utf8').trim();
    } catch (error) {
      throw new PeerfsError('USAGE', `the code file ${file} cannot be read`, {
        hint: 'Name a file that holds the six words.',
        cause: error,
      });
    }
  }
  const code = process.env['PEERFS_CODE'] ?? askSecret('Code (six words, not shown): ');
  if (code !== undefined && code.trim() !== '') return code;
  throw new PeerfsError('USAGE', 'no code was given', {
    hint: 'Run it in a terminal, or give the code by --code-file or PEERFS_CODE.',
  });
}

export default command({
  summary: 'Accept an invitation: its maker becomes a folder in the mount.',
  description:
    'Asks for the code (or takes it from --code-file or PEERFS_CODE). While the other node sleeps it is tried again until the invitation expires; the node goes on with it when this command is ended.',
  examples: ['accept peerfs-invite-1:...', 'accept invitation.txt --name alice', 'accept - --code-file code.txt'],
  args: {
    INVITATION: Args.string({ description: 'its text, a file that holds it, or - for standard input', required: true }),
  },
  flags: {
    name: Flags.string({ summary: 'What the new peer will be called here.', helpValue: '<petname>' }),
    'code-file': Flags.string({ summary: 'A file that holds the code.', helpValue: '<file>' }),
  },
  async run({ args, flags, ask, print, say }) {
    if (args.INVITATION === '-' && flags['code-file'] === '-') {
      throw new PeerfsError('USAGE', 'the invitation and the code cannot both come from standard input', {
        hint: 'Name a file for one of them.',
      });
    }
    const invitation = readInvitation(args.INVITATION);
    const code = readCode(flags['code-file']);
    process.once('SIGINT', () => {
      say('\nThe node goes on with it: see `peerfs invite list` (`peerfs invite revoke` ends it).');
      process.exit(EXIT.interrupted);
    });
    const peer = await ask('accept', { invitation, code, name: flags.name });
    print(peer, `${peer.name} is now a peer.`);
  },
});
