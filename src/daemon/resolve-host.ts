/** The system's resolver, for hosts that the user named. */
import { lookup } from 'node:dns/promises';

/** @returns numeric addresses; empty when the host has none, or nobody could be asked. */
export async function resolveHost(host: string): Promise<readonly string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    return [];
  }
}
