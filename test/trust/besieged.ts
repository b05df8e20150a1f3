/** A node that strangers and floods are set on: alice shares a file, bob has it mounted, and both go on with their work. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { introduce, openLab, untilLive, type Host, type Lab } from '../e2e/lab.ts';
import { addressOf, type Address } from './raw-peer.ts';
import { readingRate } from './reader.ts';

export const FILE_BYTES = 64 * 2 ** 20;

export interface Besieged {
  readonly lab: Lab;
  readonly alice: Host;
  readonly bob: Host;
  readonly at: Address;
  /** Alice's node. */
  readonly pid: number;
  /** What bob reads of alice, MiB a second. */
  rate(forMs: number): Promise<number>;
}

/** @param others hosts besides alice and bob, whose nodes are not started. */
export async function openBesieged(others: readonly string[] = []): Promise<Besieged> {
  const lab = openLab(['alice', 'bob', ...others], true);
  try {
    const [alice, bob] = [lab.host('alice'), lab.host('bob')];
    const folder = join(alice.files, 'work');
    mkdirSync(folder);
    writeFileSync(join(folder, 'large'), Buffer.alloc(FILE_BYTES, 'peerfs '));
    await alice.start();
    await bob.start();
    await introduce(alice, bob);
    await alice.json(['share', folder, '--name', 'work', '--to', 'bob', '--write']);
    await bob.mount();
    await untilLive(bob, 'alice');
    const file = bob.at('alice', 'work', 'large');
    return {
      lab,
      alice,
      bob,
      at: await addressOf(alice),
      pid: await alice.pid(),
      rate: (forMs) => readingRate(bob, file, FILE_BYTES, forMs),
    };
  } catch (error) {
    await lab.close();
    throw error;
  }
}
