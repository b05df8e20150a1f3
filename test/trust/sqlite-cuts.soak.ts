import type { Soak } from './soak.ts';
import { cutSqlite } from './sqlite-cuts.ts';

export const soak: Soak = {
  about: "a SQLite database in a peer's folder through 100 kills of its writer and of both nodes",
  run: (say) => cutSqlite({ cuts: 100, seed: 1 }, say),
};
