/**
 * Small files made by one call: opened, written and given their attributes, in one go on a disk thread. Larger ones take
 * the way of all files (src/fs/local-tree.ts).
 */
import { writeSync } from 'node:fs';
import { parentOf, type ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError, type ErrorCode } from '../errors.ts';
import { closeDescriptor, statDescriptor } from '../sys/files.ts';
import { OPEN, type Attributes } from '../wire/schema.ts';
import { attributesOf, fileKey } from './local-attributes.ts';
import { createIn, openOrCreate } from './local-files.ts';
import { setAttributes } from './local-names.ts';
import { attributesOfDescriptor, type LocalState } from './local-state.ts';
import type { CreationAnswer, CreationRequest } from './packed-creation.ts';

export function createFile(
  state: LocalState,
  path: ByteString,
  request: CreationRequest,
  bytes: Uint8Array,
): CreationAnswer {
  return state.watches.own([path], () => {
    state.quota?.checkBytes(bytes.length);
    const { options, wantsDirectory } = request;
    const mustBeNew = (options.flags & OPEN.exclusive) !== 0;
    if (mustBeNew && state.writable) {
      return state.root.inParent(path, 'EEXIST', (directory, name) => {
        const made = fill(state, createIn(state, directory, name, options), true, request, bytes);
        return { ...made, directory: wantsDirectory ? attributesOfDescriptor(state, directory) : undefined };
      });
    }
    const { descriptor, created } = openOrCreate(state, path, options);
    const made = fill(state, descriptor, created, request, bytes);
    if (!wantsDirectory || !created) return made;
    return { ...made, directory: state.root.at(parentOf(path), (parent) => attributesOfDescriptor(state, parent)) };
  });
}

/** Takes over the descriptor. */
function fill(
  state: LocalState,
  descriptor: number,
  created: boolean,
  { options: { flags }, change }: CreationRequest,
  bytes: Uint8Array,
): CreationAnswer {
  let failure: ErrorCode | undefined;
  let attributes: Attributes;
  try {
    try {
      const write = () => {
        for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done, bytes.length - done, done);
      };
      if (state.quota === undefined) write();
      else state.quota.around(descriptor, write);
      if (Object.keys(change).length > 0) setAttributes(state, descriptor, flags, change);
    } catch (error) {
      if (!(error instanceof PeerfsError || (error instanceof Error && 'code' in error))) throw error;
      failure = codeOf(error);
    }
    // What has just been made has no extended attributes.
    attributes = created
      ? attributesOf(statDescriptor(descriptor), false, !state.keepsIds)
      : attributesOfDescriptor(state, descriptor);
  } catch (error) {
    closeDescriptor(descriptor);
    throw error;
  }
  const open = { descriptor, flags, isDirectory: false, file: fileKey(attributes), cursor: 0n };
  const handle = state.handles.add(open);
  state.quota?.opened(attributes);
  return { handle, descriptor, created, failure, attributes, directory: undefined };
}
