/** The rounds of killed-nodes.test.ts that kill the mounting node, many. */
import { killRounds, openKillLab } from './kill-rounds.ts';
import type { Soak } from './soak.ts';

const KILLS = 100;

export const soak: Soak = {
  about: `${KILLS} kills of the own node under load`,
  async run(say) {
    const lab = await openKillLab();
    try {
      const sides = Array.from({ length: KILLS }, () => 'own' as const);
      return await killRounds(lab, sides, Number(process.env['PEERFS_SEED'] ?? Date.now() % 1_000_000), say);
    } finally {
      await lab.lab.close();
    }
  },
};
