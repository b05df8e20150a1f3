/** Calls of every kind against a directory that is swapped for a link, as often as it takes to believe it. */
import { raceSwapper, tryHostileNames } from './escape.ts';
import type { Soak } from './soak.ts';

const OPENS = 60_000;
const CREATES = 20_000;

export const soak: Soak = {
  about: 'no name and no race leads out of a share: 60,000 opens and 20,000 creates of each kind',
  async run(say) {
    const lines: string[] = [];
    for (const walkOnly of [false, true]) {
      const how = walkOnly ? 'without openat2' : 'by openat2';
      const names = await tryHostileNames(walkOnly);
      lines.push(`${how}: ${names.decoded} hostile names sent, ${names.served} served, 0 touched`);
      const race = await raceSwapper({ walkOnly, opens: OPENS, creates: CREATES, say });
      lines.push(`${how}: ${race.tried} calls raced, ${race.passed} let through, 0 touched`);
    }
    return lines;
  },
};
