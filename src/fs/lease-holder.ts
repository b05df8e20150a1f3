/** Who has leases: one peer's view of one share. */
import type { ByteString } from '../bytestring.ts';
import type { LeaseTerm } from './lease-term.ts';

export interface LeaseHolder {
  readonly term: Pick<LeaseTerm, 'endsAt' | 'heardAt' | 'tell'>;
  /** Tells the peer; settles when it has acknowledged, rejects if it cannot be told. */
  recall(path: ByteString, what: number, change: number): Promise<void>;
}
