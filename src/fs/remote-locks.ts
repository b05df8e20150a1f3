/** Locks on open files of a RemoteTree. The caller has seen to it that the file's writes have arrived. */
import { PeerfsError } from '../errors.ts';
import { dropContents, type RemoteHandle } from './remote-file.ts';
import type { RemoteHandles } from './remote-handles.ts';
import type { RemoteShare } from './remote-share.ts';
import type { LockRange, LockRequest } from './tree.ts';

const LOCK_NONE = 2;

export class RemoteLocks {
  readonly #share: RemoteShare;
  readonly #handles: RemoteHandles;

  constructor(share: RemoteShare, handles: RemoteHandles) {
    this.#share = share;
    this.#handles = handles;
  }

  /**
   * Giving a lock back is not waited for: it is on its way before anything that is asked later, and if it is lost, so are
   * all locks of the handle.
   */
  async lock(open: RemoteHandle, request: LockRequest, waiting: AbortSignal | undefined): Promise<void> {
    const isWaiting = waiting !== undefined;
    if (request.type === LOCK_NONE && !open.isLost && !open.isBroken) {
      this.#unlock(open, request);
      return;
    }
    await this.#locking(open, false, (number) =>
      this.#share.call(
        'lock',
        { handle: number, ...lockFields(request), kind: request.kind, wait: isWaiting },
        isWaiting ? { signal: waiting, unbounded: true, late: () => this.#unlock(open, request) } : {},
      ),
    );
    open.hasLocks = true;
    dropContents(open);
  }

  async test(open: RemoteHandle, range: LockRange): Promise<LockRange | undefined> {
    const { owner, type, start, end } = range;
    const { reply } = await this.#locking(open, true, (number) =>
      this.#share.call('testLock', { handle: number, owner, type, start, end }),
    );
    if (reply.type === LOCK_NONE) return undefined;
    return { owner: 0n, type: reply.type, start: reply.start, end: reply.end, pid: reply.pid };
  }

  /** @throws ENOLCK where locks that were had are gone: whoever asks for more of them is to know. */
  async #locking<T>(open: RemoteHandle, canRepeat: boolean, run: (number: number) => Promise<T>): Promise<T> {
    try {
      return await this.#handles.through(open, canRepeat, run);
    } catch (error) {
      throw open.isBroken ? new PeerfsError('ENOLCK', 'locks of this file were lost', { cause: error }) : error;
    }
  }

  #unlock(open: RemoteHandle, request: LockRequest): void {
    const fields = { ...lockFields(request), type: LOCK_NONE, kind: request.kind, wait: false };
    this.#share.call('lock', { handle: open.number, ...fields }).catch(() => undefined);
  }
}

function lockFields({ owner, type, start, end, pid }: LockRange): LockRange {
  return { owner, type, start, end, pid };
}
