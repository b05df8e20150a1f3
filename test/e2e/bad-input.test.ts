/** Wrong input of every kind: a message that says what, why and what to do, its exit code, and nothing half-made. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { introduce, openLab, sh, untilLive, type Host, type Lab, type Outcome } from './lab.ts';

interface Invite {
  readonly invitation: string;
  readonly code: string;
}

describe('bad input', { timeout: 240_000 }, () => {
  let lab: Lab;
  let alice: Host;
  let bob: Host;

  before(async () => {
    lab = openLab(['alice', 'bob'], true);
    alice = lab.host('alice');
    bob = lab.host('bob');
    await alice.start();
    await bob.start();
  });
  after(() => lab.close());

  const invite = async (...flags: string[]) => (await bob.json(['invite', '--name', 'guest', ...flags])) as Invite;
  const accept = (text: string, code: string, ...flags: string[]): Promise<Outcome> =>
    alice.peerfs(['accept', text, '--name', 'host', ...flags], { env: { PEERFS_CODE: code }, timeoutMs: 30_000 });
  const noPeers = async () => {
    assert.deepEqual(await alice.json(['peers']), []);
    assert.deepEqual(await bob.json(['peers']), []);
  };
  const refused = (outcome: Outcome, status: number, text: RegExp) => {
    assert.equal(outcome.status, status, outcome.stderr);
    assert.match(outcome.stderr, text);
    assert.doesNotMatch(outcome.stderr, /\bat .*\.js:\d+/, 'no stack trace');
  };

  it('a wrong code is told apart from a damaged invitation, and burns nothing', async () => {
    const { invitation, code } = await invite();
    const other = await invite();
    refused(await accept(invitation, other.code), 7, /code/i);
    const words = code.split(/[\s-]+/);
    refused(await accept(invitation, ['zzzzz', ...words.slice(1)].join(' ')), 7, /zzzzz/);
    const middle = Math.floor(invitation.length / 2);
    const flipped = invitation.charAt(middle) === 'a' ? 'b' : 'a';
    const damaged = invitation.slice(0, middle) + flipped + invitation.slice(middle + 1);
    refused(await accept(damaged, code), 6, /damaged|incomplete|copied/i);
    refused(await accept(invitation.slice(0, -10), code), 6, /damaged|incomplete|copied/i);
    refused(await accept('hello', code), 6, /invitation/i);
    refused(await accept('/no/such/file', code), 6, /invitation|file/i);
    await noPeers();
  });

  it('an expired, a revoked and an own invitation are refused, each by name', async () => {
    const short = await invite('--expires', '1s');
    await new Promise((resolve) => setTimeout(resolve, 1500));
    refused(await accept(short.invitation, short.code), 6, /expired/i);
    const revoked = await invite();
    const list = (await bob.json(['invite', 'list'])) as { id: string }[];
    for (const row of list) await bob.json(['invite', 'revoke', row.id]);
    refused(await accept(revoked.invitation, revoked.code), 6, /revoked|withdrawn/i);
    const own = await invite();
    const outcome = await bob.peerfs(['accept', own.invitation], { env: { PEERFS_CODE: own.code } });
    refused(outcome, 6, /own|yourself/i);
    await noPeers();
  });

  it('a used invitation is refused to the next one', async () => {
    const once = await invite();
    await alice.json(['accept', once.invitation, '--name', 'host'], { env: { PEERFS_CODE: once.code } });
    const third = openLab(['carol'], true);
    try {
      const carol = third.host('carol');
      await carol.start();
      const outcome = await carol.peerfs(['accept', once.invitation], {
        env: { PEERFS_CODE: once.code },
        timeoutMs: 30_000,
      });
      refused(outcome, 6, /used/i);
      assert.deepEqual(await carol.json(['peers']), []);
    } finally {
      await third.close();
    }
    await alice.json(['peers', 'remove', 'host']);
    await bob.json(['peers', 'remove', 'guest']);
    await noPeers();
  });

  it('shares: missing path, name clash, unknown peer, unknown share, the home itself', async () => {
    await sh('mkdir -p "$1/s" && touch "$1/file"', [bob.files]);
    refused(await bob.peerfs(['share', `${bob.files}/none`]), 5, /does not exist|no such/i);
    refused(await bob.peerfs(['share', `${bob.files}/file`]), 1, /not a (folder|directory)/i);
    await bob.json(['share', `${bob.files}/s`, '--name', 's']);
    refused(await bob.peerfs(['share', bob.files, '--name', 's']), 11, /already/i);
    refused(await bob.peerfs(['share', bob.files, '--name', 't', '--to', 'nobody']), 5, /nobody/);
    refused(await bob.peerfs(['share', bob.files, '--name', 'a/b']), 2, /name/i);
    refused(await bob.peerfs(['share', bob.home, '--name', 'h']), 2, /home|keys/i);
    refused(await bob.peerfs(['unshare', 'none']), 5, /none/);
    assert.equal(((await bob.json(['shares'])) as unknown[]).length, 1);
    await bob.json(['unshare', 's']);
  });

  it('a share that holds the mountpoint, and the reverse, are refused', async () => {
    await bob.mount();
    refused(await bob.peerfs(['share', bob.mountpoint]), 2, /mount/i);
    refused(await bob.peerfs(['share', `${bob.mountpoint}/..`, '--name', 'up']), 2, /mount|home/i);
    assert.equal((await bob.peerfs(['unmount', bob.mountpoint])).status, 0);
    await bob.json(['share', bob.files, '--name', 'f']);
    refused(await bob.peerfs(['mount', `${bob.files}/inside`]), 2, /share/i);
    await bob.json(['unshare', 'f']);
  });

  it('a second node, a missing node, unknown peers, settings and commands', async () => {
    refused(await bob.peerfs(['start']), 4, /already/i);
    const third = openLab(['carol'], true);
    try {
      const carol = third.host('carol');
      refused(await carol.peerfs(['peers']), 3, /peerfs start/);
      refused(await carol.peerfs(['start', '--listen', 'nonsense']), 2, /listen/i);
      refused(await carol.peerfs(['start', '--paths', 'pigeon']), 2, /udp/);
      refused(await carol.peerfs(['start', '--listen', '203.0.113.1:0']), 9, /203\.0\.113\.1/);
    } finally {
      await third.close();
    }
    refused(await bob.peerfs(['peers', 'remove', 'nobody']), 5, /nobody/);
    refused(await bob.peerfs(['peers', 'rename', 'nobody', 'x']), 5, /nobody/);
    refused(await bob.peerfs(['config', 'set', 'colour', 'blue']), 2, /colour/);
    refused(await bob.peerfs(['config', 'set', 'paths', '"pigeon"']), 2, /udp/);
    refused(await bob.peerfs(['frobnicate']), 2, /frobnicate/);
    refused(await bob.peerfs(['unmount', `${bob.files}/none`]), 5, /not mounted/i);
    refused(await bob.peerfs(['mount', '/dev/null']), 9, /directory|folder/i);
  });

  it('garbage on the UDP and TCP ports gets silence and leaves no growth', async () => {
    const status = async () =>
      (await bob.json(['status'])) as { pid: number; listening: string[]; memory: { rssBytes: number } };
    const { listening, memory } = await status();
    const port = Number(listening[0]?.split(':').at(-1));
    assert.ok(port > 0, listening.join());
    const udp = createSocket('udp4');
    let replies = 0;
    udp.on('message', () => replies++);
    await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
    for (let i = 0; i < 20_000; i++) {
      udp.send(Buffer.alloc(i % 1452, i * 31 + 7), port, '127.0.0.1');
      if (i % 200 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const heard: Buffer[] = [];
    const sockets = Array.from({ length: 50 }, (_, i) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => heard.push(chunk));
      socket.write(Buffer.alloc(i * 400, i));
      return socket;
    });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    for (const socket of sockets) socket.destroy();
    udp.close();
    assert.equal(replies, 0);
    assert.equal(heard.length, 0);
    const grown = (await status()).memory.rssBytes - memory.rssBytes;
    assert.ok(grown < 48 * 1024 * 1024, `grew by ${grown} bytes`);
    await introduce(bob, alice);
    await untilLive(alice, 'bob');
  });
});
