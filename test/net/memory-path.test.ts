import { createManualClock } from '../manual-clock.ts';
import { createMemoryPathPair } from './memory-path.ts';
import { testPathContract } from './path-contract.ts';

testPathContract('memory', async () => {
  const clock = createManualClock();
  const { ends } = createMemoryPathPair({ clock });
  return {
    ends,
    pass: () => clock.run(1),
    close: async () => ends.forEach((end) => end.close()),
  };
});
