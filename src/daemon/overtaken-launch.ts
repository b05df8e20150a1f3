/** Starting a node where another command may be starting one at the same moment. Light on purpose: the CLI loads this file. */
import { codeOf } from '../errors.ts';
import { isRunning } from './control-client.ts';
import type { Home } from './home.ts';
import { launchNode, type LaunchOptions, type ReadyReport } from './launch.ts';

/** How long a node that another command has just started may take until it answers, milliseconds. */
const OTHER_START_MS = 20_000;
const LOOK_MS = 50;

/**
 * @returns undefined when another command started a node at the same time, which answers now.
 * @throws what kept the node from starting.
 */
export async function launchUnlessOvertaken(options: LaunchOptions, home: Home): Promise<ReadyReport | undefined> {
  try {
    return await launchNode(options);
  } catch (error) {
    if (codeOf(error) !== 'NODE_ALREADY_RUNNING') throw error;
    for (const end = performance.now() + OTHER_START_MS; !(await isRunning(home));) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return undefined;
  }
}
