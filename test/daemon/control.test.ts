import assert from 'node:assert/strict';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { askNode } from '../../src/daemon/control-client.ts';
import { CONTROL_LINE_BYTES } from '../../src/daemon/control-protocol.ts';
import { openControlSocket, type ControlContext, type ControlHandlers } from '../../src/daemon/control.ts';
import { prepareHome } from '../../src/daemon/home.ts';
import { temporaryFolder } from './temporary-home.ts';

/** What the handler of watch was given, the last at the end. */
const watching: ControlContext[] = [];

const handlers = {
  unshare: async (given, { progress }) => {
    progress('looking');
    if (given['name'] === 'none') throw new PeerfsError('UNKNOWN_SHARE', 'there is none', { hint: 'look' });
    return { name: String(given['name']) };
  },
  watch: (_given, { progress, signal }) =>
    new Promise((resolve) => {
      watching.push({ progress, signal });
      progress('{"begun":true}');
      signal.addEventListener('abort', () => resolve({}));
    }),
} as Partial<ControlHandlers> as ControlHandlers;

async function open(t: TestContext, folder = temporaryFolder(t)) {
  const home = prepareHome(join(folder, 'home'));
  const control = await openControlSocket(home.socket, handlers, silentLogger);
  t.after(() => control.close());
  return { home, control };
}

/** Sends raw bytes and gives all that comes back. */
function raw(path: string, bytes: Uint8Array | string): Promise<string> {
  return new Promise((resolve) => {
    let heard = '';
    const socket = connect(path, () => socket.write(bytes));
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(heard));
  });
}

describe('the control socket', () => {
  it('is 0600, carries progress, results and errors with their hints', async (t) => {
    const { home } = await open(t);
    assert.equal(statSync(home.socket).mode & 0o777, 0o600);
    const said: string[] = [];
    const result = await askNode(home, 'unshare', { name: 'x' }, { onProgress: (text) => said.push(text) });
    assert.deepEqual(result, { name: 'x' });
    assert.deepEqual(said, ['looking']);
    await assert.rejects(askNode(home, 'unshare', { name: 'none' }), {
      code: 'UNKNOWN_SHARE',
      message: 'there is none',
      hint: 'look',
    });
  });

  it('replaces the socket file of a killed node', async (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(prepareHome(join(folder, 'home')).socket, '');
    const { home } = await open(t, folder);
    assert.deepEqual(await askNode(home, 'unshare', { name: 'y' }), { name: 'y' });
  });

  it('works where the path is longer than a socket address may be', async (t) => {
    const { home } = await open(t, join(temporaryFolder(t), 'x'.repeat(120)));
    assert.deepEqual(await askNode(home, 'unshare', { name: 'z' }), { name: 'z' });
  });

  it('a node that does not answer is given up after the limit', async (t) => {
    const home = prepareHome(join(temporaryFolder(t), 'home'));
    const server = createServer();
    t.after(() => server.close());
    await new Promise<void>((resolve) => server.listen(home.socket, resolve));
    await assert.rejects(askNode(home, 'id', {}, { limitMs: 50 }), { code: 'ETIMEDOUT', message: /does not answer/ });
  });

  it('no socket, no folder, nobody listening: the node is not running', async (t) => {
    const { home, control } = await open(t);
    control.close();
    control.close();
    await assert.rejects(askNode(home, 'id', {}), { code: 'NODE_NOT_RUNNING', hint: /peerfs start/ });
    const nowhere = { ...home, socket: '/no/such/folder/s' };
    await assert.rejects(askNode(nowhere, 'id', {}), { code: 'NODE_NOT_RUNNING' });
  });

  it('junk, another version, an unknown method and an inherited name are answered with an error, an endless line with the end', async (t) => {
    const { home } = await open(t);
    for (const line of ['junk\n', '{"version":2,"method":"id"}\n', '[]\n', '{"version":1,"method":"constructor"}\n']) {
      assert.match(await raw(home.socket, line), /"code":"USAGE"/, line);
    }
    assert.equal(await raw(home.socket, Buffer.alloc(CONTROL_LINE_BYTES + 1, 65)), '');
    assert.deepEqual(await askNode(home, 'unshare', { name: 'still' }), { name: 'still' });
  });

  it('a caller that looks on gets lines until it leaves, and the handler knows when it does', async (t) => {
    const { home } = await open(t);
    const enough = new AbortController();
    const lines: string[] = [];
    const said: string[] = [];
    const asked = askNode(
      home,
      'watch',
      {},
      {
        onLine: (line) => (lines.push(line), enough.abort()),
        onProgress: (text) => said.push(text),
        signal: enough.signal,
      },
    );
    await assert.rejects(asked, { code: 'CANCELLED' });
    assert.deepEqual(lines, ['{"begun":true}']);
    assert.deepEqual(said, []);
    const { signal, progress } = watching.at(-1) ?? assert.fail('watch was not asked for');
    if (!signal.aborted) await once(signal, 'abort');
    assert.equal(progress('to nobody'), false);
    await assert.rejects(askNode(home, 'watch', {}, { signal: enough.signal }), { code: 'CANCELLED' });
  });

  it('a node that stops while one looks on is said to have stopped', async (t) => {
    const { home, control } = await open(t);
    const asked = askNode(home, 'watch', {}, { onLine: () => control.close() });
    await assert.rejects(asked, { code: 'NODE_NOT_RUNNING', message: 'the node has stopped' });
  });

  it('what a caller does not read is kept up to a limit, then dropped', async (t) => {
    const { home } = await open(t);
    const socket = connect(home.socket, () => socket.write('{"version":1,"method":"watch","params":{}}\n'));
    t.after(() => socket.destroy());
    await once(socket, 'readable');
    socket.pause();
    const { progress } = watching.at(-1) ?? assert.fail('watch was not asked for');
    let taken = 0;
    while (progress('x'.repeat(64 * 1024))) taken++;
    assert.ok(taken > 4 && taken < 64, `${taken} lines of 64 KiB were taken`);
    assert.equal(progress('more'), false);
  });
});
