/**
 * Wherever two computers stand, they reach each other, by the best path that their networks allow, and soon: one test
 * for each pair of networks, with real routers, servers, nodes, mounts and `cp`.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startUpnpRouter } from '../net/upnp-router.ts';
import { configure, firstByte, statusOf, watch, withNatLab, type NatLab, type NatLabOptions } from './nat-lab.ts';
import { eventually, introduce, openLab, sh, untilLive, type Host } from './lab.ts';

const COPY_BYTES = 5_000_000;

interface Row {
  readonly networks: string;
  readonly options: NatLabOptions;
  /** Kinds of path, one of which must be in use in the end. */
  readonly paths: readonly string[];
  /** From when both had signals of each other (or, without, from the start of the second node). Milliseconds. */
  readonly withinMs: number;
  /** What the address of the far end must look like at bob. */
  readonly remote?: RegExp;
  /** Before the nodes start. */
  readonly prepare?: (lab: NatLab) => Promise<void>;
}

const ROWS: readonly Row[] = [
  {
    networks: 'cone / cone',
    options: { nats: ['cone', 'cone'], stun: true, dht: true },
    paths: ['udp'],
    withinMs: 3000,
  },
  {
    networks: 'full cone / symmetric',
    options: { nats: ['fullcone', 'symmetric'], stun: true, dht: true },
    paths: ['udp'],
    withinMs: 3000,
  },
  {
    networks: 'symmetric / symmetric, with a TURN server',
    options: { nats: ['symmetric', 'symmetric'], stun: true, dht: true, turn: ['udp'] },
    paths: ['turn'],
    withinMs: 3000,
  },
  {
    networks: 'a router that opens ports (PCP) / symmetric',
    options: { nats: ['cone', 'symmetric'], stun: true, dht: true },
    paths: ['udp'],
    withinMs: 5000,
    prepare: (lab) => openPorts(lab, 'pmp'),
  },
  {
    networks: 'a router that opens ports (UPnP) / symmetric',
    options: { nats: ['cone', 'symmetric'], stun: true, dht: true },
    paths: ['udp'],
    withinMs: 5000,
    prepare: (lab) => openPorts(lab, 'upnp'),
  },
  {
    networks: 'IPv6 on one side only',
    options: { nats: ['cone', 'cone'], stun: true, dht: true },
    paths: ['udp'],
    withinMs: 3000,
    prepare: async (lab) => lab.natlab('ipv6', '1'),
  },
  {
    networks: 'IPv6 on both sides',
    options: { nats: ['cone', 'cone'], stun: true, dht: true },
    paths: ['udp', 'tcp'],
    withinMs: 3000,
    remote: /^\[2001:db8:1::2\]/,
    prepare: async (lab) => {
      lab.natlab('ipv6', '1');
      lab.natlab('ipv6', '2');
    },
  },
];

async function openPorts(lab: NatLab, protocol: 'pmp' | 'upnp'): Promise<void> {
  const router = await startUpnpRouter({
    enter: lab.enter('nat1'),
    wan: 'wan',
    lan: 'lan',
    externalAddress: '11.77.0.1',
    protocols: [protocol],
    masquerade: false,
  });
  lab.atEnd(() => router.close());
  configure(lab.alice, 'portMapping = true');
}

/** A file of alice's that bob may read. */
async function shareFile(lab: NatLab): Promise<void> {
  const folder = join(lab.alice.files, 'shared');
  mkdirSync(folder);
  await sh('head -c "$1" /dev/urandom > "$2/file"', [String(COPY_BYTES), folder]);
  await lab.alice.json(['share', folder, '--to', 'bob']);
}

/** Copies it through bob's mount, and back into alice's inbox. */
async function copyBothWays(lab: NatLab): Promise<void> {
  const { alice, bob } = lab;
  const script = 'cp "$1" "$3" && cmp "$2" "$3" && cp "$3" "$4" && cmp "$2" "$4"';
  const copied = join(bob.files, 'copy');
  await sh(script, [
    bob.at('alice', 'shared', 'file'),
    join(alice.files, 'shared', 'file'),
    copied,
    bob.at('alice', 'copy'),
  ]);
}

for (const { networks, options, paths, withinMs, remote, prepare } of ROWS) {
  test(`${networks}: ${paths.join(' or ')} within ${withinMs / 1000} s of the signals`, async (t) => {
    await withNatLab(t, options, async (lab) => {
      const { alice, bob } = lab;
      await prepare?.(lab);
      await lab.mount(alice);
      await shareFile(lab);
      await untilReady(alice, options);
      await lab.mount(bob);
      const watching = watch(bob);
      const started = performance.now();
      const byte = firstByte(bob.at('alice', 'shared', 'file'), 30_000);
      const heard = await watching.until('a signal of alice', 20_000, ({ detail }) => detail['way'] !== undefined);
      const row = await eventually(`a path of ${paths.join(' or ')}`, 20_000, async () => {
        const peer = await statusOf(bob, 'alice');
        return peer !== undefined && paths.includes(peer.path ?? '') ? peer : undefined;
      });
      const reached = await watching.until(
        'a path',
        1000,
        ({ event, detail }) => event === 'path' && paths.includes(String(detail['path'])),
      );
      await watching.close();
      const tookMs = Date.parse(reached.at) - Date.parse(heard.at);
      const at = row.paths.find(({ active }) => active)?.remote ?? '';
      console.log(
        `# reach: ${networks}: ${row.path} (${at}) ${tookMs} ms after the signals, ${(performance.now() - started).toFixed(0)} ms after the start; first byte after ${(await byte).toFixed(0)} ms`,
      );
      assert.ok(tookMs <= withinMs, `${tookMs} ms`);
      if (remote !== undefined) assert.match(at, remote);
      await copyBothWays(lab);
      assert.ok(paths.includes((await statusOf(bob, 'alice'))?.path ?? ''), 'and stays there');
    });
  });
}

/** Until a node has found out where it is, as it has when its peer comes some time later. */
async function untilReady(host: Host, { stun, dht, turn }: NatLabOptions): Promise<void> {
  await eventually(`${host.name} knows where it is`, 20_000, async () => {
    const { network } = (await host.json(['status'])) as {
      network: { stun: { seen: string | null }[]; dht: { state: string }; turn: { relayed: string | null }[] };
    };
    const knows =
      (stun !== true || network.stun.every(({ seen }) => seen !== null)) &&
      (dht !== true || network.dht.state === 'ready') &&
      (turn === undefined || network.turn.every(({ relayed }) => relayed !== null));
    return knows ? true : undefined;
  });
}

test('the same LAN, nothing else allowed: direct within 2 s, and no server contacted', async (t) => {
  const lab = openLab(['alice', 'bob']);
  if (!lab.namespaces) {
    await lab.close();
    if (process.env['CI'] !== undefined) throw new Error('no network namespaces');
    return t.skip('no network namespaces');
  }
  try {
    const [alice, bob] = [lab.host('alice'), lab.host('bob')];
    for (const host of [alice, bob]) await host.start([], true);
    await introduce(alice, bob);
    for (const host of [alice, bob]) await host.json(['stop']);
    await sh('echo here > "$1"', [join(alice.home, 'inbox', 'bob', 'first')]);
    // At other addresses than before: only hellos can tell.
    for (const [host, address] of [
      [alice, '10.77.0.101'],
      [bob, '10.77.0.102'],
    ] as const) {
      await sh('"$@"', [...host.enter, 'ip', 'addr', 'flush', 'dev', 'eth0']);
      await sh('"$@"', [...host.enter, 'ip', 'addr', 'add', `${address}/24`, 'brd', '+', 'dev', 'eth0']);
      await sh('"$@"', [...host.enter, 'ip', 'route', 'add', '224.0.0.0/4', 'dev', 'eth0']);
    }
    await alice.mount(['--listen', '0.0.0.0:0']);
    await bob.mount(['--listen', '0.0.0.0:0']);
    const started = performance.now();
    const byte = firstByte(bob.at('alice', 'first'), 10_000);
    const { path } = await untilLive(bob, 'alice', undefined, 10_000);
    const tookMs = performance.now() - started;
    console.log(
      `# reach: the same LAN: ${path ?? ''} ${tookMs.toFixed(0)} ms after the start; first byte after ${(await byte).toFixed(0)} ms`,
    );
    assert.ok(path === 'tcp' || path === 'udp');
    assert.ok(tookMs <= 2000, `${tookMs} ms`);
    const status = (await bob.json(['status'])) as { network: { stun: unknown[]; dht: { state: string } } };
    assert.deepEqual([status.network.stun, status.network.dht.state], [[], 'off']);
    await sh('head -c 5000000 /dev/urandom > "$1/f" && cp "$1/f" "$2/f" && cmp "$1/f" "$2/f"', [
      bob.files,
      bob.at('alice'),
    ]);
  } finally {
    await lab.close();
  }
});

for (const [networks, nats, expected] of [
  ['UDP blocked on one side, a TURN server', ['cone', 'noudp'], 'turn'],
  ['UDP blocked on one side, a port open on the other', ['open', 'noudp'], 'tcp'],
] as const) {
  test(`${networks}: ${expected} within 8 s`, async (t) => {
    const turn = expected === 'turn' ? { turn: ['udp', 'tcp'] as const } : {};
    await withNatLab(t, { nats, stun: true, acquainted: false, ...turn }, async (lab) => {
      const { alice, bob } = lab;
      await lab.mount(alice);
      await lab.mount(bob);
      await eventually('the relays are there', 20_000, async () => {
        const { network } = (await alice.json(['status'])) as { network: { turn: { relayed: string | null }[] } };
        return network.turn.every(({ relayed }) => relayed !== null) ? true : undefined;
      });
      const started = performance.now();
      await introduce(alice, bob);
      const { path } = await untilLive(bob, 'alice', expected, 10_000);
      const tookMs = performance.now() - started;
      console.log(`# reach: ${networks}: ${path ?? ''} ${tookMs.toFixed(0)} ms after the invitation`);
      assert.ok(tookMs <= 8000, `${tookMs} ms`);
      await shareFile(lab);
      console.log(`# first byte after ${(await firstByte(bob.at('alice', 'shared', 'file'), 10_000)).toFixed(0)} ms`);
      await copyBothWays(lab);
    });
  });
}

test('everything blocked but Tor: tor within 30 s; when direct ways open, it moves there within 30 s', async (t) => {
  await withNatLab(t, { nats: ['toronly', 'toronly'], stun: true, tor: true }, async (lab) => {
    const { alice, bob } = lab;
    await lab.mount(alice);
    const started = performance.now();
    await lab.mount(bob);
    const { path } = await untilLive(bob, 'alice', 'tor', 45_000);
    const tookMs = performance.now() - started;
    console.log(`# reach: everything blocked but Tor: ${path ?? ''} ${tookMs.toFixed(0)} ms after the start`);
    assert.ok(tookMs <= 30_000, `${tookMs} ms`);
    assert.equal((await statusOf(bob, 'alice'))?.slow, true);
    await shareFile(lab);
    console.log(`# first byte after ${(await firstByte(bob.at('alice', 'shared', 'file'), 30_000)).toFixed(0)} ms`);
    await copyBothWays(lab);
    lab.natlab('nat', '1', 'cone');
    lab.natlab('nat', '2', 'cone');
    const opened = performance.now();
    await untilLive(bob, 'alice', 'udp', 45_000);
    const movedMs = performance.now() - opened;
    console.log(`# reach: Tor first, direct opened later: udp ${movedMs.toFixed(0)} ms after the opening`);
    assert.ok(movedMs <= 30_000, `${movedMs} ms`);
    await copyBothWays(lab);
  });
});
