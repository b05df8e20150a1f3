import type { Soak } from './soak.ts';
import { strangers } from './strangers.ts';

export const soak: Soak = {
  about: '1,000,000 datagrams and some thousand connections of strangers: no reply, no memory',
  run: (say) => strangers({ datagrams: 1_000_000, say }),
};
