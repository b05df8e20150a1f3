/** A peer that freezes: every operation ends in time, signals end callers, others notice nothing, the thaw brings it back. */
import { after, before, describe, it } from 'node:test';
import { openFreezeLab, type FreezeLab } from './freeze-lab.ts';
import {
  aWriterHidesNothing,
  everyOperationReturns,
  handledSignalDisturbsNothing,
  signalEndsTheCaller,
} from './frozen-peer.ts';

/** The shortest that leaves room for the stages before giving up (suspicion after 4 s of silence). */
const PATIENCE_MS = 5000;

describe('a frozen peer', { timeout: 120_000 }, () => {
  let lab: FreezeLab | undefined;
  const seed = Number(process.env['PEERFS_SEED'] ?? Date.now() % 1_000_000);
  before(async () => {
    lab = await openFreezeLab({ patienceMs: PATIENCE_MS });
  });
  after(() => lab?.close());
  const show = async (check: (open: FreezeLab) => Promise<string>): Promise<void> => {
    if (lab !== undefined) console.log(`# ${await check(lab)}`);
  };

  it('every operation returns in time, and works again after the thaw', () =>
    show((open) => everyOperationReturns(open, true)));

  it('a program that goes on writing keeps nobody waiting for longer', () => show(aWriterHidesNothing));

  it('SIGKILL ends a caller within a second at any moment', async () => {
    await show((open) => signalEndsTheCaller(open, 'SIGKILL', 'random', seed));
    await show((open) => signalEndsTheCaller(open, 'SIGKILL', 'same', seed + 1));
  });

  it('SIGINT ends a caller within a second at any moment', () =>
    show((open) => signalEndsTheCaller(open, 'SIGINT', 'random', seed + 2)));

  it('a signal that is handled makes no operation fail', async () => {
    await show((open) => handledSignalDisturbsNothing(open, 'restart'));
    await show((open) => handledSignalDisturbsNothing(open, 'handler'));
  });
});
