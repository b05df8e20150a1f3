import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeOf } from '../../src/errors.ts';
import { readSecret, readTurnServers } from '../../src/daemon/turn-servers.ts';

function withFolder(run: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'peerfs-turn-'));
  try {
    run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('the password is the first line of a file that only its owner can read', () => {
  withFolder((folder) => {
    const file = join(folder, 'password');
    writeFileSync(file, 'secret word\nmore\n', { mode: 0o600 });
    const [server] = readTurnServers([{ url: 'turn:192.0.2.1', username: 'u', credentialFile: file }]);
    assert.deepEqual(server, { url: 'turn:192.0.2.1', username: 'u', password: 'secret word' });
  });
});

test('a file that others can read, that is none, empty or too long is refused without a word of what is in it', () => {
  withFolder((folder) => {
    const file = join(folder, 'password');
    const refused = (path: string, why: RegExp) =>
      assert.throws(
        () => readSecret(path),
        (error) => codeOf(error) === 'CONFIG_INVALID' && why.test(String(error)) && !String(error).includes('hunter2'),
      );
    refused(file, /cannot be read/);
    writeFileSync(file, 'hunter2', { mode: 0o600 });
    chmodSync(file, 0o640);
    refused(file, /by others/);
    chmodSync(file, 0o600);
    writeFileSync(file, '\n');
    refused(file, /is empty/);
    writeFileSync(file, 'hunter2'.repeat(1000));
    refused(file, /too long/);
    mkdirSync(join(folder, 'a'), { mode: 0o700 });
    refused(join(folder, 'a'), /no regular file/);
  });
});
