/** All commands, by the id that oclif gives them (`:` where the user writes a space). */
import accept from './commands/accept.ts';
import completion from './commands/completion.ts';
import completionNames from './commands/completion-names.ts';
import configGet from './commands/config-get.ts';
import configList from './commands/config-list.ts';
import configSet from './commands/config-set.ts';
import doctor from './commands/doctor.ts';
import help from './commands/help.ts';
import idSeal from './commands/id-seal.ts';
import idUnseal from './commands/id-unseal.ts';
import id from './commands/id.ts';
import inviteList from './commands/invite-list.ts';
import inviteRevoke from './commands/invite-revoke.ts';
import invite from './commands/invite.ts';
import mount from './commands/mount.ts';
import peersRemove from './commands/peers-remove.ts';
import peersRename from './commands/peers-rename.ts';
import peers from './commands/peers.ts';
import serviceInstall from './commands/service-install.ts';
import serviceRemove from './commands/service-remove.ts';
import share from './commands/share.ts';
import sharesQuota from './commands/shares-quota.ts';
import shares from './commands/shares.ts';
import start from './commands/start.ts';
import status from './commands/status.ts';
import stop from './commands/stop.ts';
import unmount from './commands/unmount.ts';
import unshare from './commands/unshare.ts';
import watch from './commands/watch.ts';

export const COMMANDS = {
  mount,
  unmount,
  start,
  stop,
  status,
  watch,
  invite,
  'invite:list': inviteList,
  'invite:revoke': inviteRevoke,
  accept,
  peers,
  'peers:rename': peersRename,
  'peers:remove': peersRemove,
  share,
  shares,
  'shares:quota': sharesQuota,
  unshare,
  id,
  'id:seal': idSeal,
  'id:unseal': idUnseal,
  doctor,
  'config:get': configGet,
  'config:set': configSet,
  'config:list': configList,
  'service:install': serviceInstall,
  'service:remove': serviceRemove,
  completion,
  'completion-names': completionNames,
  help,
};
