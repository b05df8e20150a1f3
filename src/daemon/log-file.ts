/** The log of a node in the background: a file of the home, 0600, bounded by keeping one former file beside it. */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';

/** At most twice this is kept, bytes. */
const LOG_BYTES = 4 * 1024 * 1024;

export interface LogFile {
  writeLine(line: string): void;
}

export function openLogFile(path: string, limitBytes = LOG_BYTES): LogFile {
  let file = openSync(path, 'a', 0o600);
  let length = fstatSync(file).size;
  return {
    writeLine(line) {
      const bytes = Buffer.from(`${line}\n`);
      if (length + bytes.length > limitBytes && length > 0) {
        closeSync(file);
        renameSync(path, `${path}.1`);
        file = openSync(path, 'a', 0o600);
        length = 0;
      }
      try {
        writeSync(file, bytes);
        length += bytes.length;
      } catch {
        // A full disk must not end the node.
      }
    },
  };
}
