import { badNetwork, TROUBLES } from './bad-network.ts';
import type { Soak } from './soak.ts';

/** Both ways, over all kinds of trouble. */
const MIB = 1024;

export const soak: Soak = {
  about: '1 GiB over a network that loses, doubles, delays, flips and cuts: no wrong byte, no session dies',
  run: (say) => badNetwork({ mib: Math.ceil(MIB / TROUBLES.length / 2), seed: 3, say }),
};
