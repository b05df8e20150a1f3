/** The contract of FUSE bindings, held against ours over /dev/fuse. */
import { kernelContract } from '../kernel-contract.ts';
import { startMounted } from '../mounted-process.ts';

kernelContract('/dev/fuse', {
  start: (validMs) => startMounted(new URL('./memory-node.js', import.meta.url), { setting: { validMs } }),
  except: {},
});
