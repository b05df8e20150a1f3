/**
 * Small files made by one call: opened, written and given their attributes, in one go on a disk thread. Larger ones take
 * the way of all files (src/fs/local-tree.ts).
 */
import { writeSync } from 'node:fs';
import type { ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError, type ErrorCode } from '../errors.ts';
import { closeDescriptor } from '../sys/files.ts';
import type { Attributes } from '../wire/schema.ts';
import { fileKey } from './local-attributes.ts';
import { openOrCreate } from './local-files.ts';
import { setAttributes } from './local-names.ts';
import { attributesOfDescriptor, type LocalState } from './local-state.ts';
import type { AttributeChange, Handle, OpenOptions } from './tree.ts';

export interface LocalCreation {
  readonly handle: Handle;
  readonly created: boolean;
  readonly attributes: Attributes;
  /** For reading and writing on other threads, until release. */
  readonly descriptor: number;
  /** What failed after the opening. */
  readonly failure: ErrorCode | undefined;
}

export function createFile(
  state: LocalState,
  path: ByteString,
  options: Omit<OpenOptions, 'wantBytes'>,
  bytes: Uint8Array,
  change: AttributeChange,
): LocalCreation {
  return state.watches.own([path], () => {
    const { descriptor, created } = openOrCreate(state, path, options);
    let failure: ErrorCode | undefined;
    let attributes: Attributes;
    try {
      failure = fill(state, descriptor, options.flags, bytes, change);
      attributes = attributesOfDescriptor(state, descriptor);
    } catch (error) {
      closeDescriptor(descriptor);
      throw error;
    }
    const file = fileKey(attributes);
    const open = { descriptor, flags: options.flags, isDirectory: false, file, cursor: 0n };
    return { handle: state.handles.add(open), created, attributes, descriptor, failure };
  });
}

/** @returns what it failed with. */
function fill(
  state: LocalState,
  descriptor: number,
  flags: number,
  bytes: Uint8Array,
  change: AttributeChange,
): ErrorCode | undefined {
  try {
    for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done, bytes.length - done, done);
    if (Object.keys(change).length > 0) setAttributes(state, descriptor, flags, change);
    return undefined;
  } catch (error) {
    if (error instanceof PeerfsError || (error instanceof Error && 'code' in error)) return codeOf(error);
    throw error;
  }
}
