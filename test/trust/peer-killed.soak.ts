/** The rounds of killed-nodes.test.ts, many, the sides in turn. */
import { killRounds, openKillLab } from './kill-rounds.ts';
import type { Soak } from './soak.ts';

const KILLS = 200;

export const soak: Soak = {
  about: `${KILLS} kills in a stream of writes, of the serving and the mounting node in turn`,
  async run(say) {
    const lab = await openKillLab();
    try {
      const sides = Array.from({ length: KILLS }, (_one, index) => (index % 2 === 0 ? 'peer' : 'own'));
      return await killRounds(lab, sides, Number(process.env['PEERFS_SEED'] ?? Date.now() % 1_000_000), say);
    } finally {
      await lab.lab.close();
    }
  },
};
