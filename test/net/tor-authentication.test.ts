import assert from 'node:assert/strict';
import { chown, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { authenticate, safeCookieHashes } from '../../src/net/tor-authentication.ts';
import { createReplyReader, type ControlConnection } from '../../src/net/tor-control.ts';

const COOKIE = Buffer.alloc(32, 5);
const SERVER_NONCE = Buffer.alloc(32, 6);

interface FakePort {
  readonly connection: ControlConnection;
  readonly commands: string[];
}

/** A control port that says `information` and keeps what it is told. */
function fakePort(information: string, cookie = COOKIE): FakePort {
  const commands: string[] = [];
  const answer = (line: string): string => {
    if (line === 'PROTOCOLINFO 1') return `250-PROTOCOLINFO 1\r\n250-AUTH ${information}\r\n250 OK\r\n`;
    const [, nonce] = /^AUTHCHALLENGE SAFECOOKIE ([0-9a-f]{64})$/.exec(line) ?? [];
    if (nonce === undefined) return '250 OK\r\n';
    const { server } = safeCookieHashes(cookie, Buffer.from(nonce, 'hex'), SERVER_NONCE);
    const [hash, own] = [server, SERVER_NONCE].map((bytes) => bytes.toString('hex').toUpperCase());
    return `250 AUTHCHALLENGE SERVERHASH=${hash ?? ''} SERVERNONCE=${own ?? ''}\r\n`;
  };
  return {
    commands,
    connection: {
      command: async (line) => {
        commands.push(line);
        const [reply] = createReplyReader().push(answer(line));
        return reply ?? assert.fail();
      },
      close: () => undefined,
    },
  };
}

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'peerfs-tor-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

test('an open port is entered without more', async () => {
  const { connection, commands } = fakePort('METHODS=NULL');
  await authenticate({ connection });
  assert.deepEqual(commands, ['PROTOCOLINFO 1', 'AUTHENTICATE']);
});

test('by SAFECOOKIE both sides prove that they know the cookie, and it is not sent', async (t) => {
  const file = join(await temporary(t), 'control_auth_cookie');
  await writeFile(file, COOKIE);
  const { connection, commands } = fakePort(`METHODS=COOKIE,SAFECOOKIE COOKIEFILE="${file}"`);
  await authenticate({ connection, passwordFile: file });
  assert.equal(commands.length, 3);
  const clientNonce = Buffer.from(commands[1]?.split(' ')[2] ?? '', 'hex');
  const { controller } = safeCookieHashes(COOKIE, clientNonce, SERVER_NONCE);
  assert.equal(commands[2], `AUTHENTICATE ${controller.toString('hex')}`);
  assert.doesNotMatch(commands.join(), new RegExp(COOKIE.toString('hex')));

  const stranger = fakePort(`METHODS=COOKIE,SAFECOOKIE COOKIEFILE="${file}"`, Buffer.alloc(32, 9));
  await assert.rejects(authenticate({ connection: stranger.connection }), { code: 'PROTOCOL' });
  assert.equal(stranger.commands.length, 2, 'it is told nothing more');
});

test('a cookie is sent where nothing better is offered; no other file is taken for one', async (t) => {
  const directory = await temporary(t);
  const file = join(directory, 'control_auth_cookie');
  await writeFile(file, COOKIE);
  const { connection, commands } = fakePort(`METHODS=COOKIE COOKIEFILE="${file}"`);
  await authenticate({ connection });
  assert.equal(commands.at(-1), `AUTHENTICATE ${COOKIE.toString('hex')}`);

  const secret = join(directory, 'identity');
  await writeFile(secret, COOKIE);
  await symlink(secret, join(directory, 'link_cookie'));
  await writeFile(join(directory, 'short_cookie'), COOKIE.subarray(1));
  for (const name of ['identity', 'link_cookie', 'short_cookie', 'missing_cookie', '..']) {
    const port = fakePort(`METHODS=COOKIE COOKIEFILE="${join(directory, name)}"`);
    await assert.rejects(authenticate({ connection: port.connection }), { code: 'EACCES' }, name);
    assert.deepEqual(port.commands, ['PROTOCOLINFO 1'], name);
  }
});

test('a password comes from its file, quoted; without one the port stays closed', async (t) => {
  const file = join(await temporary(t), 'password');
  await writeFile(file, 'a "b" \\c\n');
  const { connection, commands } = fakePort('METHODS=HASHEDPASSWORD');
  await authenticate({ connection, passwordFile: file });
  assert.equal(commands.at(-1), 'AUTHENTICATE "a \\"b\\" \\\\c"');
  await assert.rejects(authenticate(fakePort('METHODS=HASHEDPASSWORD')), { code: 'EACCES' });
});

test('a port that was found and not named proves itself by the cookie of the system or the user', async (t) => {
  const file = join(await temporary(t), 'control_auth_cookie');
  await writeFile(file, COOKIE);
  const own = fakePort(`METHODS=COOKIE,SAFECOOKIE COOKIEFILE="${file}"`);
  await authenticate({ connection: own.connection, isFound: true });
  assert.equal(own.commands.length, 3);
  const refused = ['METHODS=NULL', `METHODS=COOKIE COOKIEFILE="${file}"`];
  for (const methods of refused) {
    const port = fakePort(methods);
    await assert.rejects(authenticate({ connection: port.connection, isFound: true }), { code: 'EACCES' }, methods);
    assert.deepEqual(port.commands, ['PROTOCOLINFO 1']);
  }
  // Only root can make another user's file.
  if (process.getuid?.() !== 0) return;
  await chown(file, 54_321, 54_321);
  const stranger = fakePort(`METHODS=COOKIE,SAFECOOKIE COOKIEFILE="${file}"`);
  await assert.rejects(authenticate({ connection: stranger.connection, isFound: true }), { code: 'EACCES' });
});
