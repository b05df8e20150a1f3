import { flood, FLOODS } from './flood.ts';
import type { Soak } from './soak.ts';

export const soak: Soak = {
  about: 'floods of handshakes for a minute each: 20,000/s from one source, 2,000/s from 1,000',
  async run(say) {
    const seen: string[] = [];
    for (const each of FLOODS) {
      say(each.name);
      seen.push(...(await flood({ ...each, seconds: 60, rateMs: 30_000 })));
    }
    return seen;
  },
};
