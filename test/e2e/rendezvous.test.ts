/**
 * The ways to find each other, one at a time: an invitation whose addresses lead nowhere is accepted through the local
 * network, through Tor, through the DHT; and two who know each other meet through a peer in common.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstByte, statusOf, withNatLab, type NatLab } from './nat-lab.ts';
import { introduce, openLab, sh, untilLive, type Host } from './lab.ts';

/** Nobody is there. */
const NOWHERE = ['--address', '192.0.2.1:9'];

/** `guest` accepts an invitation of `host`, then writes into its inbox there. */
async function meet(host: Host, guest: Host, way: string): Promise<void> {
  const started = performance.now();
  await introduce(host, guest, NOWHERE);
  const acceptedMs = performance.now() - started;
  const { path } = await untilLive(guest, host.name);
  await sh('head -c 300000 /dev/urandom > "$1/f" && cp "$1/f" "$2/f" && cmp "$1/f" "$2/f"', [
    guest.files,
    guest.at(host.name),
  ]);
  const byteMs = await firstByte(guest.at(host.name, 'f'), 5000);
  console.log(
    `# rendezvous: ${way}: accepted after ${acceptedMs.toFixed(0)} ms, by ${path ?? ''}; first byte in ${byteMs.toFixed(0)} ms`,
  );
}

async function mountBoth(lab: NatLab): Promise<void> {
  await lab.mount(lab.alice);
  await lab.mount(lab.bob);
}

test('an invitation is accepted through the local network alone', async (t) => {
  const lab = openLab(['alice', 'bob']);
  try {
    if (!lab.namespaces) {
      assert.equal(process.env['CI'], undefined, 'no network namespaces');
      return t.skip('no network namespaces');
    }
    const [alice, bob] = [lab.host('alice'), lab.host('bob')];
    for (const host of [alice, bob]) await host.mount(['--listen', `${host.address}:0`]);
    await meet(alice, bob, 'local network');
  } finally {
    await lab.close();
  }
});

test('an invitation is accepted through Tor alone', async (t) => {
  await withNatLab(t, { nats: ['toronly', 'toronly'], tor: true, acquainted: false }, async (lab) => {
    await mountBoth(lab);
    await meet(lab.alice, lab.bob, 'Tor');
    assert.equal((await statusOf(lab.bob, 'alice'))?.path, 'tor');
  });
});

test('an invitation is accepted through the DHT alone', async (t) => {
  await withNatLab(t, { nats: ['cone', 'cone'], stun: true, dht: true, acquainted: false }, async (lab) => {
    await mountBoth(lab);
    await meet(lab.alice, lab.bob, 'DHT');
  });
});

test('two who know each other meet through a peer in common alone', async (t) => {
  await withNatLab(t, { nats: ['cone', 'cone'], stun: true, carol: true }, async (lab) => {
    const { alice, bob, carol } = lab;
    await carol.mount(['--listen', '11.77.0.10:0', '--no-lan']);
    await mountBoth(lab);
    // They come to know carol's address anew by her invitations; that of each other they do not know.
    for (const host of [alice, bob]) {
      await introduce(carol, host);
      await untilLive(host, 'carol');
    }
    const started = performance.now();
    const { path } = await untilLive(bob, 'alice', undefined, 20_000);
    console.log(
      `# rendezvous: a peer in common: by ${path ?? ''} after ${(performance.now() - started).toFixed(0)} ms`,
    );
    const ways = (await statusOf(bob, 'alice'))?.ways ?? [];
    assert.ok(
      ways.some(({ way, result }) => way === 'peer' && (result === 'found' || result === 'worked')),
      JSON.stringify(ways),
    );
    await sh('head -c 300000 /dev/urandom > "$1/g" && cp "$1/g" "$2/g" && cmp "$1/g" "$2/g"', [
      bob.files,
      bob.at('alice'),
    ]);
  });
});
