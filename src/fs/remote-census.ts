/**
 * Census: all names of a directory in which we are alone and make more than one, asked for beside that work: a name that is
 * known to be absent need not be looked up before it is made. Only names are taken from it, because our own changes go on
 * meanwhile; what is known of a name already counts more.
 */
import type { ByteString } from '../bytestring.ts';
import { ListingReader } from '../wire/listing.ts';
import type { RemoteShare } from './remote-share.ts';

/** Tuning: in larger directories each name is looked up, entries. */
const MAX_NAMES = 2048;

/** The directory is one of a burst of changes: asks for its names, once. */
export async function takeCensus(share: RemoteShare, directory: ByteString): Promise<void> {
  const { cache, channel, order } = share;
  const census = channel.pace === 'slow' ? undefined : cache.beginCensus(directory);
  if (census === undefined) return;
  const sentAt = order.now;
  try {
    const request = { share: share.share, path: directory, maxEntries: MAX_NAMES };
    // What is held back for it counts as known: nothing has to arrive before.
    const { reply, payload } = await share.send('listDirectory', request);
    const isWhole = reply.end && reply.leaseMs > 0;
    if (!isWhole || !order.isNameCurrent(directory, sentAt, reply.change)) return;
    const names = new ListingReader(payload, reply.count).read(MAX_NAMES).map(({ name }) => name);
    if (names.length === reply.count) cache.endCensus(directory, census, names);
  } catch {
    // Then each name is looked up.
  }
}
