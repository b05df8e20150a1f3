/**
 * Foreign functions of the C library. The one file that loads koffi; the files beside it declare the calls they
 * need with `declare` and give them types. Linux, 64 bits, little-endian.
 *
 * A call costs 0.1 to 1 us. Calls that may wait for a disk or a peer must not run on the main thread.
 */
import koffi from 'koffi';

const library = koffi.load(null);

/**
 * Types of arguments and results: `int`, `uint32`, `long` (64 bits, as number), `size` (size_t), `i64`, `u64`,
 * `pointer` (an address as number, from addressOf; 0 for NULL), `buffer` (a Uint8Array, passed by address),
 * `text` (a JavaScript string, passed as UTF-8 with NUL; not for file names from outside), `void`.
 */
export type CType = 'int' | 'uint32' | 'long' | 'size' | 'i64' | 'u64' | 'pointer' | 'buffer' | 'text' | 'void';
type CValue<T extends CType> = T extends 'buffer'
  ? Uint8Array | null
  : T extends 'text'
    ? string
    : T extends 'i64' | 'u64'
      ? number | bigint
      : number;
type CValues<A extends readonly CType[]> = { [K in keyof A]: CValue<A[K]> };

const KOFFI_TYPE: Readonly<Record<CType, string>> = {
  int: 'int',
  uint32: 'uint32',
  long: 'int64_t',
  size: 'size_t',
  i64: 'int64_t',
  u64: 'uint64_t',
  pointer: 'uintptr_t',
  buffer: 'void *',
  text: 'str',
  void: 'void',
};

/** @returns the C function as a synchronous JavaScript one. After a negative result ask errno() before any other call. */
export function declare<const A extends readonly CType[]>(
  name: string,
  result: 'int' | 'long' | 'void' | 'pointer',
  parameters: A,
): (...values: CValues<A>) => number {
  return library.func(
    name,
    KOFFI_TYPE[result],
    parameters.map((type) => KOFFI_TYPE[type]),
  );
}

/**
 * The same on a thread of libuv's pool (20 to 30 us a call). Pointers must stay valid until it settles.
 * @returns the result, or the negated errno number if the result is negative.
 */
export function declareAsync<const A extends readonly CType[]>(
  name: string,
  result: 'int' | 'long',
  parameters: A,
): (...values: CValues<A>) => Promise<number> {
  const call = library.func(
    name,
    KOFFI_TYPE[result],
    parameters.map((type) => KOFFI_TYPE[type]),
  );
  return (...values) =>
    new Promise((resolve, reject) => {
      call.async(...values, (error: Error | null, value: number) => {
        if (error !== null) reject(error);
        else resolve(value < 0 ? -koffi.errno() : value);
      });
    });
}

/** The errno number that the last synchronous call on this thread left. */
export function errno(): number {
  return koffi.errno();
}

/** The address of the first byte of `view`. Valid as long as the view's memory lives (the caller keeps it). */
export function addressOf(view: Uint8Array | Uint32Array | BigUint64Array): number {
  return Number(koffi.address(view));
}
