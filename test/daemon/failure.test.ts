import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { toControlError, traceOf, understand } from '../../src/daemon/failure.ts';
import { openStore } from '../../src/daemon/store.ts';
import { systemClock } from '../../src/clock.ts';
import { PeerfsError } from '../../src/errors.ts';
import { temporaryFolder } from './temporary-home.ts';

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

const coded = (code: string, message = code) => Object.assign(new Error(message), { code });

describe('what a failure is called', () => {
  it('a system call names its file and the reason in words', (t) => {
    const missing = join(temporaryFolder(t), 'none');
    const known = understand(thrown(() => readFileSync(missing)));
    assert.equal(known?.code, 'ENOENT');
    assert.equal(known.message, `${missing}: no such file or folder`);
  });

  it('a full disk under the database is ENOSPC with what to do, whichever file of it was to grow', () => {
    for (const code of ['SQLITE_FULL', 'SQLITE_IOERR_SHMSIZE']) {
      const known = understand(coded(code));
      assert.equal(known?.code, 'ENOSPC');
      assert.match(known.hint ?? '', /space/);
    }
    assert.equal(understand(coded('SQLITE_IOERR_READ'))?.code, 'EIO');
  });

  it('a damaged database is told as such', (t) => {
    const file = join(temporaryFolder(t), 'state.sqlite');
    writeFileSync(file, 'this is no database, however long one looks at it'.repeat(100));
    const known = understand(thrown(() => openStore(file, systemClock)));
    assert.equal(known?.code, 'ENVIRONMENT');
    assert.match(known.message, /damaged/);
  });

  it('a library that is missing or of another Node.js says how to install it', () => {
    for (const code of ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND', 'ERR_DLOPEN_FAILED']) {
      const known = understand(coded(code, 'Cannot find package x\nand much more'));
      assert.equal(known?.code, 'ENVIRONMENT');
      assert.doesNotMatch(known.message, /more/);
      assert.match(known.hint ?? '', /npm ci/);
    }
  });

  it('errors of our own pass as they are; what nobody foresaw is called a fault', () => {
    const own = new PeerfsError('NAME_CLASH', 'taken', { hint: 'choose' });
    assert.equal(understand(own), own);
    assert.deepEqual(toControlError(own), { code: 'NAME_CLASH', message: 'taken', hint: 'choose' });
    assert.equal(understand(new TypeError('x is not a function')), undefined);
    assert.match(toControlError(new TypeError('x')).hint ?? '', /report/);
  });

  it('the trace for the log holds no file name and no message', () => {
    const trace = traceOf(thrown(() => readFileSync('/no/canary/here')));
    assert.match(trace, /ENOENT.* at /);
    assert.doesNotMatch(trace, /canary/);
    assert.doesNotMatch(trace, /\n/);
  });
});
