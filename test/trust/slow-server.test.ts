/** A server whose event loop hangs, or whose answers come a byte a second, is treated as one that is frozen. */
import { afterEach, describe, it } from 'node:test';
import { noNamespaces } from '../e2e/lab.ts';
import { openFreezeLab, type FreezeLab, type Means } from './freeze-lab.ts';
import { everyOperationReturns } from './frozen-peer.ts';

const PATIENCE_MS = 5000;

describe('a server that hangs in its own way', { timeout: 120_000 }, () => {
  let lab: FreezeLab | undefined;
  afterEach(async () => {
    await lab?.close();
    lab = undefined;
  });
  const show = async (means: Means): Promise<void> => {
    lab = await openFreezeLab({ patienceMs: PATIENCE_MS, means });
    console.log(`# ${await everyOperationReturns(lab, true)}`);
  };

  it('every operation returns in time while its event loop is blocked, and works again afterwards', () =>
    show('blocked'));

  it('every operation returns in time while its answers trickle, and works again afterwards', async () => {
    if (noNamespaces() === undefined) await show('trickling');
  });
});
