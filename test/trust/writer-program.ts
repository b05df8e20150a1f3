/**
 * A program that writes a file as an application does and says which call failed with what: `node writer-program.js PATH
 * BYTES fsync|close`. It prints a line of JSON, { "call": "write", "code": "ENOSPC" }, or {} when all went well.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

const PIECE_BYTES = 64 * 1024;
/** Node has no names for these. */
const NAMES: Readonly<Record<number, string>> = { 122: 'EDQUOT', 116: 'ESTALE' };

function codeOf(error: unknown): string {
  if (!(error instanceof Error) || !('errno' in error) || !('code' in error)) throw error;
  return NAMES[-Number(error.errno)] ?? String(error.code);
}

function attempt<T>(call: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ call, code: codeOf(error) })}\n`);
    process.exit(0);
  }
}

const [path = '', size = '0', ending = 'close'] = process.argv.slice(2);
const file = attempt('open', () => openSync(path, 'w'));
for (let at = 0; at < Number(size); at += PIECE_BYTES) {
  const piece = Buffer.alloc(Math.min(PIECE_BYTES, Number(size) - at), 0x61);
  for (let done = 0; done < piece.length;) {
    done += attempt('write', () => writeSync(file, piece, done, piece.length - done, at + done));
  }
}
if (ending === 'fsync') attempt('fsync', () => fsyncSync(file));
attempt('close', () => closeSync(file));
process.stdout.write('{}\n');
