/**
 * The making of a small file as it crosses to a disk thread and back: flat lists of numbers, because structured cloning
 * of objects costs more than the system calls that they ask for.
 */
import { ERROR_CODES, codeOfWire, type ErrorCode } from '../errors.ts';
import type { Attributes } from '../wire/schema.ts';
import { packAttributes, PACKED_NUMBERS, unpackAttributes } from './local-attributes.ts';
import type { AttributeChange, FileTime, Handle, OpenOptions } from './tree.ts';

/** What is to be made, at a path that goes beside it. */
export interface CreationRequest {
  readonly options: Omit<OpenOptions, 'wantBytes'>;
  readonly change: Pick<AttributeChange, 'mode' | 'atime' | 'mtime'>;
  readonly wantsDirectory: boolean;
}

export interface CreationAnswer {
  readonly handle: Handle;
  readonly descriptor: number;
  readonly created: boolean;
  readonly failure: ErrorCode | undefined;
  readonly attributes: Attributes;
  readonly directory: Attributes | undefined;
}

/** Stands for a mode that is not set. */
const NONE = -1;
/** What a time is: left, now, or as two numbers behind it say. */
const TIME = { left: 0, now: 1, given: 2 } as const;

export function packRequest({ options, change, wantsDirectory }: CreationRequest): number[] {
  const { flags, permissions, uid, gid } = options;
  const packed = [flags, permissions, uid, gid, wantsDirectory ? 1 : 0, change.mode ?? NONE];
  packTime(packed, change.atime);
  packTime(packed, change.mtime);
  return packed;
}

export function unpackRequest(packed: readonly number[]): CreationRequest {
  const [flags = 0, permissions = 0, uid = 0, gid = 0, wantsDirectory = 0, mode = NONE] = packed;
  const atime = unpackTime(packed, 6);
  const mtime = unpackTime(packed, 9);
  return {
    options: { flags, permissions, uid, gid },
    change: {
      ...(mode === NONE ? {} : { mode }),
      ...(atime === undefined ? {} : { atime }),
      ...(mtime === undefined ? {} : { mtime }),
    },
    wantsDirectory: wantsDirectory === 1,
  };
}

export function packAnswer(answer: CreationAnswer): number[] {
  const { handle, descriptor, created, failure, attributes, directory } = answer;
  const packed = [handle, descriptor, created ? 1 : 0, failure === undefined ? 0 : ERROR_CODES[failure].wire];
  packAttributes(attributes, packed, 4);
  if (directory !== undefined) packAttributes(directory, packed, 4 + PACKED_NUMBERS);
  return packed;
}

export function unpackAnswer(packed: readonly number[]): CreationAnswer {
  const [handle = 0, descriptor = NONE, created = 0, failure = 0] = packed;
  return {
    handle,
    descriptor,
    created: created === 1,
    failure: failure === 0 ? undefined : codeOfWire(failure),
    attributes: unpackAttributes(packed, 4),
    directory: packed.length > 4 + PACKED_NUMBERS ? unpackAttributes(packed, 4 + PACKED_NUMBERS) : undefined,
  };
}

function packTime(packed: number[], time: FileTime | 'now' | undefined): void {
  if (time === undefined) packed.push(TIME.left, 0, 0);
  else if (time === 'now') packed.push(TIME.now, 0, 0);
  else packed.push(TIME.given, time.sec, time.nsec);
}

function unpackTime(packed: readonly number[], at: number): FileTime | 'now' | undefined {
  const [kind, sec = 0, nsec = 0] = packed.slice(at, at + 3);
  if (kind === TIME.left) return undefined;
  return kind === TIME.now ? 'now' : { sec, nsec };
}
