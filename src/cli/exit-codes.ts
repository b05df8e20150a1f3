/** What each exit code of the command line means, for `peerfs help exit-codes` and the README. */
import { EXIT } from '../errors.ts';

const MEANING: { readonly [K in keyof typeof EXIT]: string } = {
  ok: 'done',
  failed: 'failed for a reason that has no code of its own',
  usage: 'the command line or a setting is wrong',
  nodeNotRunning: 'no node is running: peerfs start',
  nodeAlreadyRunning: 'a node is already running for this home',
  notFound: 'no such peer, share, invitation, mount or folder',
  invitationRefused: 'the invitation is damaged, expired, used, revoked or your own',
  wrongCode: 'the code or passphrase is wrong',
  peerUnreachable: 'the peer cannot be reached',
  environment: 'this computer lacks something, or the node could not start: peerfs doctor',
  timeout: 'not done in time',
  nameClash: 'the name is taken',
  interrupted: 'interrupted by the user',
};

export const EXIT_CODES = (Object.keys(MEANING) as (keyof typeof EXIT)[]).map((name) => ({
  name,
  exit: EXIT[name],
  meaning: MEANING[name],
}));
