/**
 * The vocabulary in which src/wire/schema.ts describes the protocol, and the TypeScript types that follow from a
 * description. Owns no bytes: src/wire/codec.ts encodes, src/wire/document.ts prints docs/protocol.md.
 */
import type { ByteString } from '../bytestring.ts';

/**
 * Field types, all integers little-endian:
 * - `u8 u16 u32`: unsigned integers, as number;
 * - `u64`: unsigned, at most 2^53 - 1 (larger is malformed), as number;
 * - `i64`: signed, magnitude at most 2^53 - 1, as number;
 * - `id64`: 64 opaque bits, as bigint;
 * - `bool`: one byte, 0 or 1;
 * - `{ fixed: n }`: exactly n bytes, as Uint8Array;
 * - `{ bytes: max }`: u32 length and that many bytes, at most max, as Uint8Array (a view of the frame);
 * - `{ name: max }`: u16 length and bytes, as ByteString; a file name, checked by isName(). With `rule: 'nameOrEmpty'`
 *   the empty name too; with `rule: 'opaque'` any bytes but NUL, at least one (an attribute's name may have slashes);
 * - `{ path: max }`: u16 length and bytes, as ByteString; checked by isPath();
 * - `{ text: max }`: u16 length in bytes and UTF-8, as string;
 * - `{ list: Struct, max }`: u32 count (at most max, and no more than the bytes at hand allow), each element a
 *   u16 length and a struct;
 * - `{ struct: Struct }`: u16 length and a struct.
 *
 * A struct's bytes may be longer than its known fields (a newer peer's): the rest is skipped. They may be shorter
 * by fields that have a `default` (an older peer's).
 */
export type FieldType =
  | 'u8'
  | 'u16'
  | 'u32'
  | 'u64'
  | 'i64'
  | 'id64'
  | 'bool'
  | { readonly fixed: number }
  | { readonly bytes: number }
  | { readonly name: number; readonly rule?: 'nameOrEmpty' | 'opaque' }
  | { readonly path: number }
  | { readonly text: number }
  | { readonly list: Struct; readonly max: number }
  | { readonly struct: Struct };

export interface Field {
  readonly type: FieldType;
  /** What it is, with its unit. Printed in docs/protocol.md. */
  readonly doc: string;
  /** Largest legal value of an integer field; more is malformed. */
  readonly limit?: number;
  /** Stands for the field when an older peer did not send it; only on fields added after version 1. */
  readonly default?: number | bigint | boolean | string;
  /** A handle of the server (0: none). It dies with the boot of the server that gave it. */
  readonly handle?: true;
}

/** Field order is wire order. */
export type Fields = Readonly<Record<string, Field>>;

export interface Struct {
  readonly name: string;
  readonly doc: string;
  readonly fields: Fields;
}

/**
 * - `call`: a request that gets one reply (or failure); either side may be the caller.
 * - `push`: one way, no answer.
 */
export type MessageKind = 'call' | 'push';

export interface Message {
  readonly tag: number;
  readonly kind: MessageKind;
  readonly doc: string;
  /** Who sends it: the side that mounts ('client'), the side that shares ('server'), or either. */
  readonly from: 'client' | 'server' | 'either';
  /** Whether running it twice has the effect of running it once; only for calls. Others run exactly once. */
  readonly idempotent: boolean;
  readonly request: Fields;
  /** Bytes that may follow the request's fields, at most; 0 for none. */
  readonly requestPayload: number;
  readonly reply: Fields;
  /** Bytes that may follow the reply's fields, at most; 0 for none. */
  readonly replyPayload: number;
}

type ValueOf<T> = T extends 'u8' | 'u16' | 'u32' | 'u64' | 'i64'
  ? number
  : T extends 'id64'
    ? bigint
    : T extends 'bool'
      ? boolean
      : T extends { readonly fixed: number } | { readonly bytes: number }
        ? Uint8Array
        : T extends { readonly name: number } | { readonly path: number }
          ? ByteString
          : T extends { readonly text: number }
            ? string
            : T extends { readonly list: infer S extends Struct }
              ? readonly ValuesOf<S['fields']>[]
              : T extends { readonly struct: infer S extends Struct }
                ? ValuesOf<S['fields']>
                : never;

/** The plain object that a set of fields decodes to. */
export type ValuesOf<F extends Fields> = { readonly [K in keyof F]: ValueOf<F[K]['type']> };
