import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import test, { type TestContext } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { controlPointsOf, openUpnp, urlAt } from '../../src/net/upnp.ts';
import { createUpnpNetwork, type UpnpNetwork } from '../../src/net/upnp-network.ts';
import { createManualClock } from '../manual-clock.ts';

const PLACE = { gateway: '127.0.0.1', local: '127.0.0.1' };
const REQUEST = { protocol: 'udp', internalPort: 4000, externalPort: 4000 } as const;
const IP = 'urn:schemas-upnp-org:service:WANIPConnection:1';

const description = (controlUrl: string, base = '') =>
  `<root>${base}<service><serviceType>${IP}</serviceType><controlURL>${controlUrl}</controlURL></service></root>`;
const fault = (code: number) => ({ ok: false, text: `<UPnPError><errorCode>${code}</errorCode></UPnPError>` });

interface Call {
  readonly action: string;
  readonly values: Readonly<Record<string, string>>;
}

/** A network with one router that answers each call. */
function network(answer: (call: Call) => { readonly ok: boolean; readonly text: string } | undefined): {
  readonly network: UpnpNetwork;
  readonly calls: Call[];
} {
  const calls: Call[] = [];
  return {
    calls,
    network: {
      search(_place, onAnswer) {
        onAnswer('127.0.0.1', 'http://127.0.0.1:5000/d.xml');
        return () => undefined;
      },
      get: async () => description('/control'),
      async post(_url, _local, action, body) {
        const text = Buffer.from(body).toString();
        const values: Record<string, string> = {};
        for (const [, name = '', value = ''] of text.matchAll(/<(New\w+)>([^<]*)</g)) values[name] = value;
        const call: Call = { action: /#(\w+)"$/.exec(action)?.[1] ?? '', values };
        calls.push(call);
        const external = '<NewExternalIPAddress>5.6.7.8</NewExternalIPAddress>';
        return answer(call) ?? { ok: true, text: call.action === 'GetExternalIPAddress' ? external : '' };
      },
      close: () => undefined,
    },
  };
}

function opened(fake: UpnpNetwork): ReturnType<typeof openUpnp> {
  return openUpnp({ place: PLACE, network: fake, clock: createManualClock(), random: () => 0.5 });
}

test('a port is mapped for an hour, and taken down again', async () => {
  const { network: fake, calls } = network(() => undefined);
  const mapper = opened(fake);
  const mapped = await mapper.map(REQUEST);
  assert.deepEqual(mapped, {
    by: 'upnp',
    protocol: 'udp',
    internalPort: 4000,
    external: { host: '5.6.7.8', port: 4000 },
    lifetimeMs: 3_600_000,
  });
  await mapper.unmap(mapped);
  assert.deepEqual(
    calls.map(({ action }) => action),
    ['GetExternalIPAddress', 'AddPortMapping', 'DeletePortMapping'],
  );
  assert.deepEqual(calls[1]?.values, {
    NewRemoteHost: '',
    NewExternalPort: '4000',
    NewProtocol: 'UDP',
    NewInternalPort: '4000',
    NewInternalClient: '127.0.0.1',
    NewEnabled: '1',
    NewPortMappingDescription: 'peerfs',
    NewLeaseDuration: '3600',
  });
});

test('a router that knows no leases is asked for a mapping without an end', async () => {
  const { network: fake } = network(({ values }) => (values.NewLeaseDuration === '3600' ? fault(725) : undefined));
  assert.equal((await opened(fake).map(REQUEST)).lifetimeMs, Infinity);
});

test("where the port is somebody else's, another one is taken", async () => {
  const { network: fake } = network(({ values }) => (values.NewExternalPort === '4000' ? fault(718) : undefined));
  assert.equal((await opened(fake).map(REQUEST)).external.port, 40_000);
});

test('a router in which every port is taken, or that refuses, is left alone after a few calls', async () => {
  for (const code of [718, 606, 501]) {
    const { network: fake, calls } = network(({ action }) => (action === 'AddPortMapping' ? fault(code) : undefined));
    await assert.rejects(opened(fake).map(REQUEST), { code: 'EACCES' });
    assert.ok(calls.length <= 6);
  }
});

test('a router without an address on the internet maps nothing', async () => {
  for (const host of ['', '0.0.0.0', '999.1.1.1', '<b>']) {
    const text = `<NewExternalIPAddress>${host}</NewExternalIPAddress>`;
    const { network: fake } = network(({ action }) =>
      action === 'GetExternalIPAddress' ? { ok: true, text } : undefined,
    );
    await assert.rejects(opened(fake).map(REQUEST), { code: 'EACCES', message: /no address on the internet/ });
  }
});

test('a mapping holds while the router has it as ours and keeps its own address', async () => {
  let client = '127.0.0.1';
  const { network: fake } = network(({ action }) =>
    action !== 'GetSpecificPortMappingEntry'
      ? undefined
      : client === ''
        ? fault(714)
        : { ok: true, text: `<NewInternalClient>${client}</NewInternalClient>` },
  );
  const mapper = opened(fake);
  const mapped = await mapper.map(REQUEST);
  assert.equal(await mapper.holds(mapped), true);
  client = '192.168.1.77';
  assert.equal(await mapper.holds(mapped), false);
  client = '';
  assert.equal(await mapper.holds(mapped), false);
  assert.equal(await mapper.holds({ ...mapped, external: { host: '5.6.7.9', port: 4000 } }), false);
});

test('nobody is sent to another host than the one that answered', () => {
  const here = new URL('http://192.168.1.1:80/d.xml');
  for (const url of [
    'http://192.168.1.2/x',
    'https://192.168.1.1/x',
    'http://user@192.168.1.1/x',
    'http://192.168.1.1.example.com/x',
    '//192.168.1.2/x',
    'file:///etc/passwd',
    'http://[::1]/',
    'http://',
  ]) {
    assert.equal(urlAt('192.168.1.1', url, here), undefined, url);
    assert.deepEqual(controlPointsOf('192.168.1.1', here, description(url)), []);
  }
  const elsewhere = description('/c', '<URLBase>http://192.168.1.2/</URLBase>');
  assert.equal(controlPointsOf('192.168.1.1', here, elsewhere)[0]?.url.href, 'http://192.168.1.1/c');
  const otherPort = description('c', '<URLBase>http://192.168.1.1:99/a/</URLBase>');
  assert.equal(controlPointsOf('192.168.1.1', here, otherPort)[0]?.url.href, 'http://192.168.1.1:99/a/c');
});

test('a search ends after two seconds without an answer', async () => {
  const clock = createManualClock();
  const { network: fake } = network(() => undefined);
  let stops = 0;
  const deaf = { ...fake, search: () => () => void (stops += 1) };
  const mapper = openUpnp({ place: PLACE, network: deaf, clock, random: Math.random });
  const mapping = assert.rejects(mapper.map(REQUEST), { code: 'ETIMEDOUT' });
  await clock.run(2000);
  await mapping;
  assert.equal(stops, 1);
  assert.equal(clock.pending, 0);
});

// ---- over loopback ---------------------------------------------------------------------------------------------

async function webServer(t: TestContext, listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

/** Answers every search with this description's address. */
async function searchServer(t: TestContext, location: string): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.on('message', (datagram, from) => {
    const target = /\nST: (\S+)/.exec(datagram.toString())?.[1] ?? '';
    socket.send(`HTTP/1.1 200 OK\r\nST: ${target}\r\nLOCATION: ${location}\r\n\r\n`, from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return socket;
}

test('over real sockets a router is found by search, described and called', async (t) => {
  const actions: string[] = [];
  const port = await webServer(t, (request, response) => {
    if (request.url === '/d.xml') return void response.end(description('/control'));
    actions.push(String(request.headers.soapaction));
    request.resume().on('end', () => response.end('<NewExternalIPAddress>5.6.7.8</NewExternalIPAddress>'));
  });
  const search = await searchServer(t, `http://127.0.0.1:${port}/d.xml`);
  const real = createUpnpNetwork(systemClock, { host: '127.0.0.1', port: search.address().port });
  const mapper = openUpnp({ place: PLACE, network: real, clock: systemClock, random: Math.random });
  t.after(() => mapper.close());
  assert.equal((await mapper.map(REQUEST)).external.host, '5.6.7.8');
  assert.deepEqual(actions, [`"${IP}#GetExternalIPAddress"`, `"${IP}#AddPortMapping"`]);
});

test('no redirection is followed, and what is endless or too long is cut off', async (t) => {
  let strayed = 0;
  const port = await webServer(t, (request, response) => {
    if (request.url === '/elsewhere') strayed += 1;
    if (request.url === '/redirect') return void response.writeHead(302, { Location: '/elsewhere' }).end();
    response.write('a');
    if (request.url === '/long') for (let i = 0; i < 300; i++) response.write('a'.repeat(1024));
  });
  const clock = createManualClock();
  const real = createUpnpNetwork(clock);
  t.after(() => real.close());
  const url = (path: string) => new URL(`http://127.0.0.1:${port}/${path}`);
  assert.equal(await real.get(url('redirect'), '127.0.0.1'), '');
  await assert.rejects(real.get(url('long'), '127.0.0.1'), { code: 'ETIMEDOUT' });
  const endless = assert.rejects(real.get(url('endless'), '127.0.0.1'), { code: 'ETIMEDOUT' });
  await clock.run(3000);
  await endless;
  assert.equal(strayed, 0);
});

test('closing ends requests that are under way', async (t) => {
  const port = await webServer(t, () => undefined);
  const real = createUpnpNetwork(createManualClock());
  const asked = assert.rejects(real.get(new URL(`http://127.0.0.1:${port}/`), '127.0.0.1'), { code: 'ETIMEDOUT' });
  real.close();
  await asked;
});
