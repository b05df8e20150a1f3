/**
 * Nodes that are killed at random moments of a stream of writes: what fsync, close and rename acknowledged is there, what is
 * lost was reported, and work goes on at once.
 */
import { after, before, describe, it } from 'node:test';
import { killRounds, openKillLab, type KillLab } from './kill-rounds.ts';

describe('a node that is killed', { timeout: 180_000 }, () => {
  let lab: KillLab | undefined;
  const seed = Number(process.env['PEERFS_SEED'] ?? Date.now() % 1_000_000);
  before(async () => {
    lab = await openKillLab();
  });
  after(() => lab?.lab.close());
  const show = async (sides: readonly ('peer' | 'own')[], from: number): Promise<void> => {
    if (lab === undefined) return;
    for (const line of await killRounds(lab, sides, from)) console.log(`# ${line}`);
  };

  it('the serving one: nothing acknowledged is lost, no file is mixed, nothing foreign stays', () =>
    show(['peer', 'peer', 'peer'], seed));

  it('the own one: the same; errors within 1 s, one mount entry, usable within 3 s, the state whole', () =>
    show(['own', 'own', 'own'], seed + 100));
});
