import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  CONFIG_KEYS,
  configKey,
  loadConfig,
  parseSetting,
  petnameFault,
  SETTINGS,
  showSetting,
  toPetname,
  writeSetting,
  type ConfigKey,
} from '../../src/daemon/config.ts';
import { packageRoot } from '../../src/daemon/version.ts';
import { codeOf } from '../../src/errors.ts';
import { parseHostPort } from '../../src/host-port.ts';
import { temporaryFolder } from './temporary-home.ts';

describe('settings', () => {
  it('an absent file means defaults, and every default is legal', (t) => {
    const config = loadConfig(join(temporaryFolder(t), 'config'));
    assert.deepEqual(config.paths, ['tcp', 'udp', 'turn', 'tor']);
    assert.equal(config.lan, true);
    for (const key of CONFIG_KEYS) assert.deepEqual(config[key], SETTINGS[key].default());
    assert.notEqual(parseHostPort(config.listen), undefined);
    assert.equal(petnameFault(config.name), undefined);
  });

  it('a flag wins over the file, the file over the default', (t) => {
    const file = join(temporaryFolder(t), 'config');
    writeSetting(file, 'paths', 'udp');
    writeSetting(file, 'patienceMs', '2000');
    const config = loadConfig(file, { paths: 'udp,tcp' });
    assert.deepEqual(config.paths, ['udp', 'tcp']);
    assert.equal(config.patienceMs, 2000);
  });

  it('the file documents every setting, is 0600, and keeps comments of the user', (t) => {
    const file = join(temporaryFolder(t), 'config');
    writeSetting(file, 'lan', 'false');
    const written = readFileSync(file, 'utf8');
    for (const key of CONFIG_KEYS) assert.match(written, new RegExp(`^#? ?${key.replace('.', '\\.')} = `, 'm'));
    assert.equal(statSync(file).mode & 0o777, 0o600);
    writeFileSync(file, `# mine\n${written}`);
    writeSetting(file, 'lan', 'true');
    writeSetting(file, 'name', 'ann');
    assert.match(readFileSync(file, 'utf8'), /^# mine$/m);
    assert.equal(loadConfig(file).lan, true);
    assert.equal(loadConfig(file).name, 'ann');
    writeSetting(file, 'name', undefined);
    assert.equal(loadConfig(file).name, SETTINGS.name.default());
    assert.equal(readFileSync(file, 'utf8').match(/^# name = /gm)?.length, 1);
  });

  it('lists and settings with a dot are kept as JSON and shown as they are written', (t) => {
    const file = join(temporaryFolder(t), 'config');
    const servers = [{ url: 'turn:192.0.2.1:3478?transport=tcp', username: 'u', credentialFile: '/etc/secret' }];
    writeSetting(file, 'turn.servers', JSON.stringify(servers));
    writeSetting(file, 'stun.servers', '["192.0.2.1:3478","[2001:db8::1]:3478"]');
    writeSetting(file, 'tor', '"control:127.0.0.1:9051"');
    writeSetting(file, 'tor.config', '["DirAuthority a orport=1 127.0.0.1:2 ABCD", "TestingTorNetwork 1"]');
    writeSetting(file, 'dht', 'off');
    writeSetting(file, 'addresses.deny', '10.0.0.0/8,2001:db8::/32');
    const config = loadConfig(file);
    assert.deepEqual(config['turn.servers'], servers);
    assert.deepEqual(config['stun.servers'], ['192.0.2.1:3478', '[2001:db8::1]:3478']);
    assert.equal(config.tor, 'control:127.0.0.1:9051');
    assert.equal(config['tor.config'].length, 2);
    assert.equal(config.dht, false);
    assert.deepEqual(config['addresses.deny'], ['10.0.0.0/8', '2001:db8::/32']);
    for (const key of CONFIG_KEYS) assert.deepEqual(parseSetting(key, showSetting(key, config[key])), config[key], key);
  });

  it('every setting, and no other, is in the table of the documentation', () => {
    const text = readFileSync(join(packageRoot(), 'docs/configuration.md'), 'utf8');
    const [, table = ''] = text.split('## Settings');
    const named = table
      .split('\n## ')[0]
      ?.match(/^\| `[^`]+`/gm)
      ?.map((cell) => cell.slice(3, -1));
    assert.deepEqual(named?.sort(), [...CONFIG_KEYS].sort());
  });

  it('what cannot be meant is refused', () => {
    const illegal: [ConfigKey, string][] = [
      ['stun.servers', '["nonsense"]'],
      ['stun.servers', '["192.0.2.1:0"]'],
      ['stun.servers', '["192.0.2.1:1"'],
      ['stun.servers', '"192.0.2.1:1'],
      ['stun.servers', '["192.0.2.256:1"]'],
      ['stun.servers', '["[zz]:1"]'],
      ['stun.servers', '[1]'],
      ['stun.servers', JSON.stringify(Array.from({ length: 65 }, (_, at) => `192.0.2.1:${at + 1}`))],
      ['dht.bootstrap', ''],
      ['turn.servers', 'turn:192.0.2.1'],
      ['turn.servers', '[{"url":"stun:192.0.2.1","username":"u","credentialFile":"/x"}]'],
      ['turn.servers', '[{"url":"turn:192.0.2.1","username":"u"}]'],
      ['turn.servers', '[{"url":"turn:192.0.2.1:0","username":"u","credentialFile":"/x"}]'],
      ['turn.servers', '[{"url":"turn:192.0.2.1:65536","username":"u","credentialFile":"/x"}]'],
      ['turn.servers', '[{"url":"turn:h?transport=tls","username":"u","credentialFile":"/x"}]'],
      ['turn.servers', '[{"url":"turn:h","username":"","credentialFile":"/x"}]'],
      ['turn.servers', '[{"url":"turn:h","username":"u","credentialFile":"x"}]'],
      ['tor', 'maybe'],
      ['tor', 'control:nowhere'],
      ['tor.config', '["SocksPort 1\\nRunAsDaemon 1"]'],
      ['addresses.deny', '["10.0.0.0/33"]'],
      ['addresses.allow', '["example.org/8"]'],
      ['addresses.allow', '["fe80::1%eth0/64"]'],
      ['addresses.allow', '["10.0.0.0/8/8"]'],
      ['addresses.allow', '["10.0.0.0/"]'],
      ['dht', 'perhaps'],
    ];
    for (const [key, text] of illegal) {
      assert.throws(
        () => parseSetting(key, text),
        (error) => codeOf(error) === 'CONFIG_INVALID',
        `${key} ${text}`,
      );
    }
  });

  it('values may be written bare or as JSON', (t) => {
    const file = join(temporaryFolder(t), 'config');
    writeFileSync(file, 'paths = ["udp", "tcp"]\nname = "bob the great"\nmountpoint = ~/x\n');
    const config = loadConfig(file);
    assert.deepEqual(config.paths, ['udp', 'tcp']);
    assert.equal(config.name, 'bob the great');
    assert.equal(config.mountpoint, join(homedir(), 'x'));
  });

  for (const [key, value] of [
    ['paths', 'pigeon'],
    ['paths', 'udp,udp'],
    ['paths', ''],
    ['listen', 'nonsense'],
    ['listen', '1.2.3.4:65536'],
    ['listen', '::1:5'],
    ['name', 'a/b'],
    ['name', '.hidden'],
    ['name', 'x'.repeat(65)],
    ['lan', 'yes'],
    ['patienceMs', '999'],
    ['patienceMs', '1e4'],
    ['mountpoint', 'relative'],
    ['logLevel', 'loud'],
  ] as const) {
    it(`${key} = ${value.slice(0, 20)} is refused with what is legal, and nothing is written`, (t) => {
      const file = join(temporaryFolder(t), 'config');
      assert.throws(() => writeSetting(file, key, value), { code: 'CONFIG_INVALID', hint: /^Legal is / });
      assert.throws(() => statSync(file), { code: 'ENOENT' });
    });
  }

  it('an unknown key is refused with the known ones; a broken line is named', (t) => {
    assert.throws(() => configKey('colour'), { code: 'CONFIG_INVALID', message: /colour/, hint: /paths/ });
    const file = join(temporaryFolder(t), 'config');
    writeFileSync(file, '# fine\n\nlan = true\nwhat is this\n');
    assert.throws(() => loadConfig(file), { code: 'CONFIG_INVALID', message: /line 4/ });
  });

  it('a name that someone else chose is made legal', () => {
    assert.equal(toPetname('../../etc', 'peer'), '-..-etc');
    assert.equal(toPetname('a\u0000b\u001b[31m', 'peer'), 'a-b-[31m');
    assert.equal(toPetname('...', 'peer'), 'peer');
    assert.equal(toPetname('', 'peer'), 'peer');
    const long = toPetname('\u00e4'.repeat(100), 'peer');
    assert.ok(Buffer.byteLength(long) <= 64);
    assert.equal(petnameFault(long), undefined);
  });

  it('a value that would break the line it stands on is refused, white space around it is dropped', (t) => {
    const file = join(temporaryFolder(t), 'config');
    for (const text of ['/a\nname = evil', '/a\u001b[31m']) {
      assert.throws(() => writeSetting(file, 'mountpoint', text), { code: 'CONFIG_INVALID' });
    }
    assert.throws(() => writeSetting(file, 'paths', 'udp,\ntcp'), { code: 'CONFIG_INVALID' });
    writeSetting(file, 'mountpoint', ' /a b ');
    assert.match(readFileSync(file, 'utf8'), /^mountpoint = \/a b$/m);
    assert.equal(loadConfig(file).mountpoint, '/a b');
  });

  it('an unknown key in the file is named with its line', (t) => {
    const file = join(temporaryFolder(t), 'config');
    writeFileSync(file, '# mine\nName = x\n');
    assert.throws(() => loadConfig(file), { code: 'CONFIG_INVALID', message: /line 2.*"Name"/ });
  });

  it('a name cannot turn the direction of writing', () => {
    assert.notEqual(petnameFault('a\u202eb'), undefined);
    assert.equal(toPetname('a\u202eb\u2066c', 'peer'), 'a-b-c');
  });
});
