/**
 * Another program, run by local-locks.test.ts as `lock-program.js FILE fcntl|flock hold|try`: takes a lock on the first
 * ten bytes (fcntl, the classic kind that belongs to a process) or the file; ends with 1 if it is not to be had; with
 * `hold` says so and keeps it until its input ends.
 */
import { openSync } from 'node:fs';
import { declare } from '../../src/sys/libc.ts';

const F_SETLK = 6;
const F_WRLCK = 1;
const LOCK_EX_NB = 2 | 4;

const [file = '', kind, action] = process.argv.slice(2);
const descriptor = openSync(file, 'r+');
const request = Buffer.alloc(32);
request.writeInt16LE(F_WRLCK, 0);
request.writeBigInt64LE(10n, 16);
const result =
  kind === 'fcntl'
    ? declare('fcntl', 'int', ['int', 'int', 'buffer'])(descriptor, F_SETLK, request)
    : declare('flock', 'int', ['int', 'int'])(descriptor, LOCK_EX_NB);
if (result < 0) process.exitCode = 1;
else if (action === 'hold') {
  process.stdout.write('held\n');
  process.stdin.resume();
}
