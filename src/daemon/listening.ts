/** Where the node listens: the configured place, or a port that was chosen once and is kept, for peers know it. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { PeerfsError } from '../errors.ts';
import { parseHostPort } from '../host-port.ts';
import type { Endpoint } from '../net/endpoint.ts';
import type { Config } from './config.ts';
import { reasonOf } from './home.ts';
import type { Store } from './store.ts';

/**
 * The configured port; for 0 the one chosen before, if it is free, else any, which is then kept.
 * @throws NODE_START_FAILED
 */
export async function listen(
  config: Pick<Config, 'listen'>,
  store: Pick<Store, 'meta' | 'setMeta'>,
  open: (host: string, port: number) => Promise<Endpoint>,
): Promise<Endpoint> {
  const { host, port } = parseHostPort(config.listen) ?? { host: '::', port: 0 };
  const kept = port === 0 ? store.meta('port') : undefined;
  try {
    const numeric = isIP(host) === 0 ? (await lookup(host)).address : host;
    if (typeof kept === 'number') {
      try {
        return await open(numeric, kept);
      } catch (error) {
        if (nodeCode(error) !== 'EADDRINUSE') throw error;
      }
    }
    const endpoint = await open(numeric, port);
    if (port === 0) store.setMeta('port', endpoint.address.port);
    return endpoint;
  } catch (error) {
    throw new PeerfsError('NODE_START_FAILED', `cannot listen on ${config.listen}: ${reasonOf(error)}`, {
      hint: 'Choose another address or port with --listen, or: peerfs config set listen.',
      cause: error,
    });
  }
}

/** The code of the system error behind it. */
function nodeCode(error: unknown): unknown {
  if (error instanceof PeerfsError) return nodeCode(error.cause);
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
