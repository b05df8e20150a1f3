/** Asking for a secret on the terminal, without showing it. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { PeerfsError } from '../errors.ts';

/** @returns what was typed; undefined where there is no terminal. @throws CANCELLED at Ctrl-C and Ctrl-D. */
export function askSecret(question: string): string | undefined {
  let terminal: number;
  try {
    terminal = openSync('/dev/tty', 'r+');
  } catch {
    return undefined;
  }
  // Raw mode by a stream of its own; the bytes are read with readSync, which blocks, as a prompt should.
  const stream = new ReadStream(terminal);
  try {
    stream.setRawMode(true);
    writeSync(terminal, question);
    return readLine(terminal);
  } finally {
    stream.setRawMode(false);
    writeSync(terminal, '\n');
    stream.destroy();
    try {
      closeSync(terminal);
    } catch {
      // The stream closed it.
    }
  }
}

const CTRL_C = 3;
const CTRL_D = 4;
const CTRL_U = 21;
const BACKSPACE = 127;

function readLine(terminal: number): string {
  const typed: number[] = [];
  const byte = Buffer.alloc(1);
  for (;;) {
    let count: number;
    try {
      count = readSync(terminal, byte, 0, 1, null);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') continue;
      throw error;
    }
    const value = byte[0];
    if (count === 0 || value === CTRL_C || value === CTRL_D || value === undefined) {
      throw new PeerfsError('CANCELLED', 'nothing was entered');
    }
    if (value === 13 || value === 10) return Buffer.from(typed).toString('utf8');
    if (value === BACKSPACE || value === 8) typed.pop();
    else if (value === CTRL_U) typed.length = 0;
    else typed.push(value);
  }
}
