import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { overridesOf } from '../../src/cli/arguments.ts';
import { loadConfig } from '../../src/daemon/config.ts';

describe('flags that stand for settings', () => {
  it('a flag that was not given says nothing', () => {
    assert.deepEqual(overridesOf({}), {});
  });

  it('--dht turns it on or off, or names whom to ask first', () => {
    assert.deepEqual(overridesOf({ dht: 'off' }), { dht: 'off' });
    const config = loadConfig('/no/such/file', overridesOf({ dht: '192.0.2.1:6881,[2001:db8::1]:6881' }));
    assert.equal(config.dht, true);
    assert.deepEqual(config['dht.bootstrap'], ['192.0.2.1:6881', '[2001:db8::1]:6881']);
    assert.throws(() => loadConfig('/no/such/file', overridesOf({ dht: 'maybe' })), { code: 'CONFIG_INVALID' });
  });

  it('--tor takes a path from where the user stands, --tor-bridge every line whole', () => {
    assert.equal(overridesOf({ tor: './tor' }).tor, `${process.cwd()}/tor`);
    assert.equal(overridesOf({ tor: 'auto' }).tor, 'auto');
    const lines = ['obfs4 192.0.2.1:443 cert=a,b iat-mode=0', '192.0.2.2:9001'];
    assert.deepEqual(loadConfig('/no/such/file', overridesOf({ 'tor-bridge': lines }))['tor.bridges'], lines);
  });
});
