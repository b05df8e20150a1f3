/** The checks of frozen-peer.test.ts with the default patience, many times. */
import { openFreezeLab } from './freeze-lab.ts';
import { everyOperationReturns, handledSignalDisturbsNothing, signalEndsTheCaller } from './frozen-peer.ts';
import type { Soak } from './soak.ts';

const ROUNDS = 10;

export const soak: Soak = {
  about: 'operations at a frozen peer with the default patience, signals at random moments',
  async run(say) {
    const seed = Number(process.env['PEERFS_SEED'] ?? Date.now() % 1_000_000);
    const lines = [`seed ${seed}`];
    const lab = await openFreezeLab();
    try {
      for (let round = 0; round < ROUNDS; round += 1) {
        const checks = [
          () => everyOperationReturns(lab, round % 2 === 0),
          () => signalEndsTheCaller(lab, 'SIGKILL', 'random', seed + 3 * round),
          () => signalEndsTheCaller(lab, 'SIGINT', 'random', seed + 3 * round + 1),
          () => signalEndsTheCaller(lab, round % 2 === 0 ? 'SIGKILL' : 'SIGINT', 'same', seed + 3 * round + 2),
          () => handledSignalDisturbsNothing(lab, round % 2 === 0 ? 'restart' : 'handler'),
        ];
        for (const check of checks) {
          const line = await check();
          say(`round ${round + 1}: ${line}`);
          lines.push(line);
        }
      }
    } finally {
      await lab.close();
    }
    return lines;
  },
};
