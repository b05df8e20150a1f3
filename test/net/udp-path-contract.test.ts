import { createManualClock } from '../manual-clock.ts';
import { testPathContract } from './path-contract.ts';
import { createSimulatedNetwork } from './simulated-network.ts';
import { createUdpLink } from './udp-link.ts';

testPathContract('udp', async () => {
  const clock = createManualClock();
  const network = createSimulatedNetwork({ clock, seed: 1 });
  const ends = createUdpLink(network, clock, 1);
  return {
    ends,
    pass: () => clock.run(5),
    close: async () => ends.forEach((end) => end.close()),
  };
});
