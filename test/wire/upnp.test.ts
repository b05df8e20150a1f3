import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import {
  decodeAnswer,
  decodeDescription,
  decodeFault,
  decodeSearchReply,
  encodeCall,
  encodeSearches,
} from '../../src/wire/upnp.ts';

const IP = 'urn:schemas-upnp-org:service:WANIPConnection:1';
const PPP = 'urn:schemas-upnp-org:service:WANPPPConnection:1';

const reply = (lines: readonly string[]) => Buffer.from([...lines, '', ''].join('\r\n'));
const service = (type: string, url: string) =>
  `<service><serviceType>${type}</serviceType><serviceId>x</serviceId><controlURL>${url}</controlURL></service>`;

test('a search asks for gateways and for both kinds of connection', () => {
  const searches = encodeSearches(1).map((message) => message.toString('latin1'));
  assert.equal(searches.length, 4);
  for (const text of searches) {
    assert.match(
      text,
      /^M-SEARCH \* HTTP\/1\.1\r\nHOST: 239\.255\.255\.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: urn:/,
    );
    assert.ok(text.endsWith('\r\n\r\n'));
  }
});

test('the answer to a search names a description, whatever the case of its headers', () => {
  const st = 'st: urn:schemas-upnp-org:device:InternetGatewayDevice:1';
  assert.equal(
    decodeSearchReply(reply(['HTTP/1.1 200 OK', st, 'Location:  http://192.168.1.1:80/d.xml'])),
    'http://192.168.1.1:80/d.xml',
  );
  const wrong = [
    ['HTTP/1.1 404 Not Found', st, 'LOCATION: http://192.168.1.1/'],
    ['NOTIFY * HTTP/1.1', st, 'LOCATION: http://192.168.1.1/'],
    ['HTTP/1.1 200 OK', 'ST: urn:schemas-upnp-org:device:MediaServer:1', 'LOCATION: http://192.168.1.1/'],
    ['HTTP/1.1 200 OK', st],
    ['HTTP/1.1 200 OK', st, `LOCATION: http://192.168.1.1/${'a'.repeat(1024)}`],
    ['HTTP/1.1 200 OK', st, `X: ${'a'.repeat(4096)}`, 'LOCATION: http://192.168.1.1/'],
  ];
  for (const lines of wrong) assert.equal(decodeSearchReply(reply(lines)), undefined, lines.join('|').slice(0, 80));
});

test('services that open ports are found in a description, the better first', () => {
  const xml =
    `<?xml version="1.0"?><root xmlns="urn:x"><URLBase>http://192.168.1.1:49152/</URLBase><serviceList>` +
    service('urn:schemas-upnp-org:service:Layer3Forwarding:1', '/l3') +
    service(PPP, '/ppp?a=1&amp;b=2') +
    service(IP, '\n /ip ') +
    '</serviceList></root>';
  assert.deepEqual(decodeDescription(xml), {
    base: 'http://192.168.1.1:49152/',
    services: [
      { type: IP, controlUrl: '/ip' },
      { type: PPP, controlUrl: '/ppp?a=1&b=2' },
    ],
  });
});

test('descriptions that are broken or hostile hold nothing and take no time', () => {
  const nothing = { base: undefined, services: [] };
  for (const xml of [
    '',
    '<service>',
    `<service><serviceType>${IP}</serviceType>`,
    '<service></serviceList>',
    '<!-- -->',
  ]) {
    assert.deepEqual(decodeDescription(xml), nothing);
  }
  assert.deepEqual(decodeDescription(service(IP, 'a'.repeat(2000))), nothing);
  assert.deepEqual(decodeDescription(service(IP, '<b>/x</b>')), nothing);
  const started = performance.now();
  for (const piece of ['<service>', 'service', '<service ', '<a:service', '</service>', '<service></service>', '<']) {
    decodeDescription(piece.repeat(Math.floor((128 << 10) / piece.length)));
  }
  for (let round = 0; round < 200; round++) decodeDescription(randomBytes(500).toString('latin1'));
  assert.ok(performance.now() - started < 2000);
});

test('a call holds its arguments in order', () => {
  const text = encodeCall(IP, 'DeletePortMapping', { NewRemoteHost: '', NewExternalPort: 7 }).toString();
  assert.match(
    text,
    /<u:DeletePortMapping xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1"><NewRemoteHost><\/NewRemoteHost><NewExternalPort>7<\/NewExternalPort><\/u:DeletePortMapping>/,
  );
});

test('answers and faults are read, with prefixes and attributes', () => {
  const answer =
    '<s:Body><u:X><NewExternalIPAddress xmlns:dt="y" dt:dt="string">1.2.3.4</NewExternalIPAddress></u:X></s:Body>';
  assert.equal(decodeAnswer(answer, 'NewExternalIPAddress'), '1.2.3.4');
  assert.equal(decodeAnswer('<a:NewX>1</a:NewX>', 'NewX'), '1');
  assert.equal(decodeAnswer('<NewXY>1</NewXY>', 'NewX'), undefined);
  assert.equal(decodeFault('<UPnPError><errorCode>718</errorCode></UPnPError>'), 718);
  assert.equal(decodeFault('<UPnPError><errorCode>-1</errorCode></UPnPError>'), undefined);
  assert.equal(decodeFault('<errorCode>123456</errorCode>'), undefined);
});
