/** What programs have open in the mount: the kernel's handle numbers. */
import { PeerfsError } from '../errors.ts';
import type { MountHandle } from './mount-node.ts';
import type { Handle } from './tree.ts';

export class MountHandles {
  readonly #open = new Map<Handle, MountHandle>();
  #last: Handle = 0;

  add(handle: MountHandle): Handle {
    this.#last += 1;
    this.#open.set(this.#last, handle);
    (handle.node.handles ??= new Set()).add(handle);
    return this.#last;
  }

  /** @throws PeerfsError EBADF. */
  get(number: Handle): MountHandle {
    const handle = this.#open.get(number);
    if (handle === undefined) throw new PeerfsError('EBADF', 'no such handle');
    return handle;
  }

  remove(number: Handle): MountHandle | undefined {
    const handle = this.#open.get(number);
    if (handle === undefined) return undefined;
    this.#open.delete(number);
    handle.node.handles?.delete(handle);
    return handle;
  }

  numbers(): Handle[] {
    return [...this.#open.keys()];
  }
}
