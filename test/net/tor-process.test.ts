import assert from 'node:assert/strict';
import { test } from 'node:test';
import { torConfiguration, type TorConfiguration } from '../../src/net/tor-process.ts';

const plain: TorConfiguration = { dataDirectory: '/home/a b/"tor"', configLines: [], bridges: [] };
const everywhere = async (name: string): Promise<string> => `/bin/${name}`;

test('the configuration names the data directory, sockets within it, a cookie and its owner', async () => {
  const lines = (await torConfiguration(plain)).split('\n');
  for (const line of [
    'DataDirectory "/home/a b/\\"tor\\""',
    'ControlPort unix:"/home/a b/\\"tor\\"/control"',
    'SocksPort unix:"/home/a b/\\"tor\\"/socks" ExtendedErrors',
    'CookieAuthentication 1',
    `__OwningControllerProcess ${process.pid}`,
  ]) {
    assert.ok(lines.includes(line), line);
  }
  assert.equal(lines.at(-1), '');
  assert.doesNotMatch(lines.join('\n'), /Bridge/);
});

test('where a socket does not fit into an address, ports take their place', async () => {
  const text = await torConfiguration({ ...plain, dataDirectory: `/${'x'.repeat(120)}` });
  assert.match(text, /^ControlPort auto$/m);
  assert.match(text, /^SocksPort auto ExtendedErrors$/m);
});

test('bridges are given on, with the program for each transport that no line configures', async () => {
  const bridges = [
    'obfs4 192.0.2.1:443 AAAA cert=x iat-mode=0',
    'Bridge 192.0.2.2:9001 BBBB',
    'bridge obfs4 192.0.2.3:1 C',
  ];
  const text = await torConfiguration({ ...plain, bridges }, everywhere);
  assert.match(
    text,
    /^UseBridges 1\nBridge obfs4 192\.0\.2\.1:443 AAAA cert=x iat-mode=0\nBridge 192\.0\.2\.2:9001 BBBB\n/m,
  );
  assert.match(text, /^Bridge obfs4 192\.0\.2\.3:1 C$/m);
  assert.equal(text.match(/^ClientTransportPlugin obfs4 exec \/bin\/lyrebird$/gm)?.length, 1);
  const configLines = ['ClientTransportPlugin obfs4,other exec /opt/o'];
  const own = await torConfiguration({ ...plain, bridges, configLines }, everywhere);
  assert.equal(own.match(/ClientTransportPlugin/g)?.length, 1);
});

test('a transport without a program says which one to install', async () => {
  const bridges = ['snowflake 192.0.2.1:80 AAAA'];
  await assert.rejects(
    torConfiguration({ ...plain, bridges }, async () => undefined),
    { code: 'ENVIRONMENT', hint: /snowflake-client/ },
  );
  await assert.rejects(torConfiguration({ ...plain, bridges: ['nosuch 192.0.2.1:80'] }, everywhere), {
    code: 'ENVIRONMENT',
    hint: /ClientTransportPlugin/,
  });
});

test('no line can become two, nor swallow the next one', async () => {
  for (const bad of ['A 1\nB 2', 'A 1\rB 2', 'A 1\0', 'A 1 \\', 'A 1\\  ', 'A\x0b1']) {
    await assert.rejects(torConfiguration({ ...plain, configLines: [bad] }), { code: 'CONFIG_INVALID' }, bad);
    await assert.rejects(torConfiguration({ ...plain, bridges: [bad] }, everywhere), { code: 'CONFIG_INVALID' }, bad);
    await assert.rejects(torConfiguration({ ...plain, dataDirectory: `/x${bad}` }), { code: 'CONFIG_INVALID' }, bad);
  }
});
