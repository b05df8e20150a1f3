/**
 * Whether a program that looks at a file opens it next, told from what became of the last looks: then its contents may come
 * with the look. Pure.
 */
import type { ByteString } from '../bytestring.ts';

/** Tuning. Looks whose outcome is waited for. */
const REMEMBERED = 16;
/** What the outcomes before the last are worth, and from where on contents are asked for. */
const STAYS = 7 / 8;
const LIKELY = 1 / 2;
/** Larger files are worth a call of their own, bytes. */
const WANT_BYTES = 32 * 1024;

export class LookForesight {
  /** Looked at and not opened yet, oldest first. */
  readonly #open = new Set<ByteString>();
  /** Part of the looks that were followed by an opening, those long ago counting less. */
  #part = 0;

  /** Contents of at most so many bytes should come with the next look; 0: none. */
  get wantBytes(): number {
    return this.#part > LIKELY ? WANT_BYTES : 0;
  }

  /** A regular file was looked at. */
  looked(path: ByteString): void {
    this.#open.delete(path);
    this.#open.add(path);
    if (this.#open.size <= REMEMBERED) return;
    for (const oldest of this.#open) {
      this.#open.delete(oldest);
      this.#part *= STAYS;
      return;
    }
  }

  /** A file was opened for reading. */
  opened(path: ByteString): void {
    if (this.#open.delete(path)) this.#part = this.#part * STAYS + (1 - STAYS);
  }
}
