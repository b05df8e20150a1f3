import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { readAnswer, readQuery, readSigned } from '../../src/net/dht-message.ts';

const ID = 'i'.repeat(20);
const HOST = '198.51.100.1';
const latin = (text: string): Buffer => Buffer.from(text, 'latin1');
const T = latin('zz');

const written = (text: string, host = HOST): string | undefined =>
  readAnswer(latin(text), host)?.encode(T).toString('latin1');

/** A compact node of BEP 5. */
const compactNode = (host: string, port: number): string =>
  ID + String.fromCharCode(...host.split('.').map(Number), port >> 8, port & 255);

const withNodes = (...nodes: string[]): string => `5:nodes${26 * nodes.length}:${nodes.join('')}`;

test('a query goes out under our transaction and says that it is read-only', () => {
  const query = readQuery(latin(`d1:ad2:id20:${ID}e1:q4:ping1:t2:ab1:y1:qe`));
  assert.equal(query?.transaction.toString(), 'ab');
  assert.equal(query.encode(latin('wxyz')).toString(), `d1:ad2:id20:${ID}e1:q4:ping2:roi1e1:t4:wxyz1:y1:qe`);
});

test('nothing but queries goes out', () => {
  for (const text of [
    `d1:rd2:id20:${ID}e1:t2:ab1:y1:re`,
    'd1:eli201e1:xe1:t2:ab1:y1:ee',
    'nonsense',
    '',
    'de',
    'i1e',
  ]) {
    assert.equal(readQuery(latin(text)), undefined);
  }
});

test('an answer comes in with what we use, and nothing else', () => {
  const [key, signature] = ['k'.repeat(32), 's'.repeat(64)];
  const item = `1:k32:${key}${withNodes()}3:seqi7e3:sig64:${signature}5:token4:tokn1:v5:value`;
  const body = `d2:id20:${ID}${item}e`;
  const plain = `d1:r${body}1:t2:zz1:y1:re`;
  assert.equal(written(plain), plain);
  assert.equal(written(`d2:ip6:abcdef1:rd2:id20:${ID}${item}4:xtrali1ei2eee1:t4:abcd1:v4:LT..1:y1:re`), plain);
  assert.equal(readAnswer(latin(plain), HOST)?.transaction.toString(), 'zz');
});

test('an item with a field of a wrong shape, or an immutable one, is left out of its answer', () => {
  const [key, signature] = ['k'.repeat(32), 's'.repeat(64)];
  const bare = `d1:rd2:id20:${ID}e1:t2:zz1:y1:re`;
  for (const item of [
    `1:ki5e3:seqi7e3:sig64:${signature}1:v5:value`,
    `1:k31:${key.slice(1)}3:seqi7e3:sig64:${signature}1:v5:value`,
    `1:k32:${key}3:seqi-1e3:sig64:${signature}1:v5:value`,
    `1:k32:${key}3:seq1:73:sig64:${signature}1:v5:value`,
    `1:k32:${key}3:seqi7e3:sig63:${signature.slice(1)}1:v5:value`,
    `1:k32:${key}3:seqi7e3:sig64:${signature}1:vd1:ai1ee`,
    `1:k32:${key}3:seqi7e3:sig64:${signature}1:v1001:${'v'.repeat(1001)}`,
    `5:token0:1:v5:value`,
    `5:nodesli1ee`,
  ]) {
    assert.equal(written(`d1:rd2:id20:${ID}${item}e1:t2:zz1:y1:re`), bare, item);
  }
});

test('an answer without a sound id, type, transaction or body is none', () => {
  for (const text of [
    `d1:rd2:id19:${ID.slice(1)}e1:t2:zz1:y1:re`,
    'd1:rd2:idi5ee1:t2:zz1:y1:re',
    'd1:rle1:t2:zz1:y1:re',
    'd1:t2:zz1:y1:re',
    `d1:rd2:id20:${ID}e1:ti5e1:y1:re`,
    `d1:rd2:id20:${ID}e1:t0:1:y1:re`,
    `d1:rd2:id20:${ID}e1:t2:zze`,
    `d1:rd2:id20:${ID}e1:t2:zz1:y1:qe`,
    `d1:rd2:id20:${ID}e1:t2:zz1:y2:rre`,
    `d1:rd2:id20:${ID}e1:t2:zz1:y1:re `,
    'd1:e3:abc1:t2:zz1:y1:ee',
    'd1:el3:abci5ee1:t2:zz1:y1:ee',
    'd1:ele1:t2:zz1:y1:ee',
  ]) {
    assert.equal(written(text), undefined, text);
  }
});

test('errors keep their number', () => {
  assert.equal(written('d1:eli302e3:olde1:t2:zz1:y1:ee'), 'd1:eli302e3:olde1:t2:zz1:y1:ee');
  assert.equal(written('d1:eli302eled1:ade1:t2:zz1:y1:ee'), undefined);
  assert.equal(written('d1:eli302eleee1:t2:zz1:y1:ee'), undefined);
  assert.equal(written('d1:eli302elee1:t2:zz1:y1:ee'), 'd1:eli302e0:e1:t2:zz1:y1:ee');
});

test('nodes that lead nowhere, or from outside into a network, are left out', () => {
  const good = compactNode('192.0.2.9', 6881);
  const local = ['10.1.2.3', '127.0.0.1', '192.168.1.1', '172.20.0.1', '100.64.0.1', '169.254.169.254'];
  const nowhere = [compactNode('0.0.0.0', 1), compactNode('224.0.0.1', 1), compactNode('255.255.255.255', 1)];
  const all = withNodes(good, ...nowhere, compactNode('192.0.2.10', 0), ...local.map((host) => compactNode(host, 53)));
  const answer = (nodes: string): string => `d1:rd2:id20:${ID}${nodes}e1:t2:zz1:y1:re`;
  assert.equal(written(answer(all)), answer(withNodes(good)));
  assert.equal(
    written(answer(all), '10.0.0.1'),
    answer(withNodes(good, ...local.map((host) => compactNode(host, 53)))),
  );
  assert.equal(written(answer(`5:nodes27:${good}x`)), answer(withNodes(good)));
});

test('our address as others see it is read from an answer, if it can be one', () => {
  const from = (ip: string, host = HOST) =>
    readAnswer(latin(`d2:ip${ip.length}:${ip}1:rd2:id20:${ID}e1:t2:zz1:y1:re`), host)?.seen;
  assert.deepEqual(from('\xcb\x00\x71\x05\x1a\xe1'), { host: '203.0.113.5', port: 6881 });
  assert.deepEqual(from('\x0a\x00\x00\x05\x1a\xe1', '10.0.0.9'), { host: '10.0.0.5', port: 6881 });
  assert.equal(from('\x0a\x00\x00\x05\x1a\xe1'), undefined);
  assert.equal(from('\xcb\x00\x71\x05\x00\x00'), undefined);
  assert.equal(from('\xcb\x00\x71\x05'), undefined);
  assert.equal(from('x'.repeat(18)), undefined);
});

test('what was signed is a number and a value, and nothing else', () => {
  assert.deepEqual(readSigned(latin('3:seqi1700000000000e1:v3:abc')), {
    seq: 1_700_000_000_000,
    value: latin('abc'),
  });
  for (const text of ['', '3:seqi1e', '1:v3:abc', '4:salt1:s3:seqi1e1:v3:abc', '3:seqi1e1:vi5e', '3:seq1:11:v3:abc']) {
    assert.equal(readSigned(latin(text)), undefined);
  }
});

test('numbers and lengths that lie, depth and width without end: nothing is thrown, nothing comes in', () => {
  const valid = `d1:rd2:id20:${ID}${withNodes(compactNode('192.0.2.9', 1))}5:token4:tokne1:t2:zz1:y1:re`;
  for (const text of [
    'd',
    'd1:',
    'd99999999999999999999:a',
    'd-1:a',
    'd01:ai1ee',
    'd1:ai-0ee',
    'd1:ai01ee',
    'd1:aie',
    'd1:ai99999999999999999999999999ee',
    'd1:a9007199254740993:',
    `d1:a${'l'.repeat(3000)}`,
    `d1:a${'d1:a'.repeat(700)}`,
    `d1:al${'i1e'.repeat(1000)}ee`,
    'i5e',
    'x'.repeat(5000),
  ]) {
    assert.equal(written(text), undefined);
    assert.equal(readQuery(latin(text)), undefined);
  }
  for (let length = 0; length < valid.length; length++) assert.equal(written(valid.slice(0, length)), undefined);
  for (let round = 0; round < 20_000; round++) {
    const bytes = latin(valid);
    for (const [at, value] of randomBytes(6).entries()) {
      if (at % 2 === 0)
        bytes[value % bytes.length] = round & 1 ? value : (bytes[value % bytes.length] ?? 0) ^ (1 << (value & 7));
    }
    readAnswer(bytes, HOST)?.encode(T);
    readAnswer(Buffer.concat([latin('d'), randomBytes(round % 64)]), HOST);
  }
});
