import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSetting, showSetting } from '../../src/daemon/config.ts';
import { createAddressRules } from '../../src/net/address-rules.ts';
import { parseTurnUrl } from '../../src/net/turn-url.ts';

describe('values of settings', () => {
  it('lists of servers and blocks may be written with commas too, lists of lines as JSON alone', () => {
    assert.deepEqual(parseSetting('stun.servers', 'stun.example:3478, [2001:db8::1]:1'), [
      'stun.example:3478',
      '[2001:db8::1]:1',
    ]);
    assert.deepEqual(parseSetting('stun.servers', '[]'), []);
    assert.deepEqual(parseSetting('addresses.allow', '192.0.2.7'), ['192.0.2.7']);
    assert.throws(() => parseSetting('tor.bridges', 'obfs4 192.0.2.1:443 cert=a,iat-mode=0'), {
      code: 'CONFIG_INVALID',
    });
  });

  it('words may stand bare or as JSON', () => {
    for (const word of ['auto', 'off', '/usr/bin/tor', 'control:[::1]:9051', 'control:/run/tor/control']) {
      assert.equal(parseSetting('tor', word), word);
      assert.equal(parseSetting('tor', JSON.stringify(word)), word);
    }
    assert.equal(parseSetting('mailbox', '"off"'), false);
    assert.equal(parseSetting('portMapping', 'false'), false);
  });

  it('a value is shown as it can be given', () => {
    assert.equal(showSetting('dht', false), 'off');
    assert.equal(showSetting('paths', ['udp', 'tor']), 'udp,tor');
    for (const name of ['"bob"', 'a b', '[]', 'x,y'])
      assert.equal(parseSetting('name', showSetting('name', name)), name);
  });

  it('every address of a TURN server that is legal is understood by the client', () => {
    for (const url of [
      'turn:192.0.2.1',
      'turn:turn.example:3478',
      'turn:[2001:db8::1]:65535?transport=tcp',
      'turn:turn.example?transport=udp',
    ]) {
      const [server] = parseSetting(
        'turn.servers',
        JSON.stringify([{ url, username: 'u', credentialFile: '/etc/turn' }]),
      );
      assert.equal(server?.url, url);
      assert.doesNotThrow(() => parseTurnUrl(url));
    }
  });

  it('every block that is legal is a rule', () => {
    const blocks = parseSetting('addresses.deny', '["0.0.0.0/0","10.1.2.3/8","::/0","2001:db8::/128","192.0.2.1"]');
    assert.equal(blocks.length, 5);
    assert.equal(createAddressRules([], blocks).allows('10.0.0.1'), false);
  });
});
