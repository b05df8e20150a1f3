import assert from 'node:assert/strict';
import test from 'node:test';
import { endianness, type NetworkInterfaceInfo } from 'node:os';
import { localAddressTo, parseDefaultRoute } from '../../src/net/gateway.ts';

const HEAD = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';

/** As the kernel prints an address. */
function hex(host: string): string {
  const bytes = Buffer.from(host.split('.').map(Number));
  return (endianness() === 'LE' ? bytes.reverse() : bytes).toString('hex').toUpperCase();
}

const line = (device: string, gateway: string, metric: number, flags = '0003', mask = '00000000') =>
  `${device}\t00000000\t${hex(gateway)}\t${flags}\t0\t0\t${metric}\t${mask}\t0\t0\t0\n`;

function own(address: string, netmask = '255.255.255.0'): NetworkInterfaceInfo {
  return { address, netmask, family: 'IPv4', mac: '', internal: false, cidr: null };
}

test('the default route with the least metric leads to the gateway', () => {
  const table = `${HEAD}${line('wlan0', '192.168.1.1', 600)}${line('eth0', '10.0.0.254', 100)}eth0\t${hex('10.0.0.0')}\t00000000\t0001\t0\t0\t100\t${hex('255.255.255.0')}\t0\t0\t0\n`;
  assert.deepEqual(parseDefaultRoute(table), { interfaceName: 'eth0', gateway: '10.0.0.254' });
});

test('routes that are down, without a router, or not understood do not count', () => {
  for (const table of [
    '',
    HEAD,
    HEAD + line('eth0', '10.0.0.1', 0, '0002'),
    HEAD + line('tun0', '0.0.0.0', 0, '0001'),
    HEAD + line('eth0', '10.0.0.1', 0, '0003', '0000FFFF'),
    `${HEAD}eth0\t00000000\tXYZ\t0003\t0\t0\t0\t00000000\n`,
    `${HEAD}eth0\t00000000\n\n\0\0\0`,
  ]) {
    assert.equal(parseDefaultRoute(table), undefined);
  }
});

test('the local address is the one in the network of the gateway', () => {
  const route = { interfaceName: 'eth0', gateway: '192.168.200.1' };
  assert.equal(localAddressTo(route, { eth0: [own('10.1.1.1'), own('192.168.200.7')] }), '192.168.200.7');
  assert.equal(localAddressTo(route, { eth0: [own('10.1.1.1')] }), '10.1.1.1');
  assert.equal(localAddressTo(route, { eth1: [own('192.168.200.7')] }), undefined);
});
