/** READDIR and READDIRPLUS: packs rows into the answer's buffer and keeps count of the nodes it hands out. */
import { createDeviceBuffer, type DeviceBuffer } from '../../sys/fuse-device.ts';
import type { AddRow, DirectoryRow, NodeId } from '../kernel.ts';
import { RECORD_ALIGN_BYTES } from './protocol.ts';
import { HEADER_BYTES, writeEntry } from './reply.ts';
import { DIRENT, ENTRY_OUT } from './structures.ts';

/** In fuse_dirent the type stands as in the d_type of readdir(3): the high bits of the mode. */
const TYPE_SHIFT = 12;

export class DirectoryReply {
  readonly buffer: DeviceBuffer;
  readonly add: AddRow;
  /** Nodes in the answer: once it is delivered the kernel holds one more reference to each. */
  readonly nodes: NodeId[] = [];
  readonly #plus: boolean;
  readonly #room: number;
  #used = 0;

  /** @param sizeBytes of the answer, at most. */
  constructor(sizeBytes: number, plus: boolean) {
    // The length must hold whole words for the views over it.
    this.buffer = createDeviceBuffer((HEADER_BYTES + sizeBytes + RECORD_ALIGN_BYTES - 1) & -RECORD_ALIGN_BYTES);
    this.#plus = plus;
    this.#room = sizeBytes;
    this.add = (row) => this.#add(row);
  }

  get length(): number {
    return this.#used;
  }

  #add(row: DirectoryRow): boolean {
    const { bytes, words, longs } = this.buffer;
    const nameEnd = (this.#plus ? ENTRY_OUT.sizeBytes : 0) + DIRENT.sizeBytes + row.name.length;
    const length = (nameEnd + RECORD_ALIGN_BYTES - 1) & -RECORD_ALIGN_BYTES;
    if (this.#used + length > this.#room) return false;
    const start = HEADER_BYTES + this.#used;
    let word = start >> 2;
    if (this.#plus) {
      if (row.entry === undefined) words.fill(0, word, word + (ENTRY_OUT.sizeBytes >> 2));
      else {
        writeEntry(this.buffer, word, row.entry);
        this.nodes.push(row.entry.node);
      }
      word += ENTRY_OUT.sizeBytes >> 2;
    }
    longs[(word + DIRENT.word.ino) >> 1] = row.inode;
    longs[(word + DIRENT.word.off) >> 1] = row.cursor;
    words[word + DIRENT.word.namelen] = row.name.length;
    words[word + DIRENT.word.type] = (row.type >> TYPE_SHIFT) & 0xf;
    bytes.write(row.name, start + nameEnd - row.name.length, 'latin1');
    bytes.fill(0, start + nameEnd, start + length);
    this.#used += length;
    return true;
  }
}
