/**
 * What the network, the sockets and sealing let through with nothing above them: datagrams are sealed, sent, received
 * and opened, none is acknowledged or sent again.
 *
 *     node bare-pair.js receive HOST PORT SECONDS     prints megabytes a second that opened
 *     node bare-pair.js send HOST PORT SECONDS
 */
import { useInPlaceAead } from '../../src/crypto/sodium.ts';
import { openUdpPort } from '../../src/net/udp-port.ts';
import { opensslInPlace } from '../../src/sys/openssl.ts';
import { createSessionEnd } from '../../test/net/session-pair.ts';

const PLAIN_BYTES = 1_400;
const DATAGRAMS_AT_ONCE = 44;

const [role, host = '', port = '', seconds = ''] = process.argv.slice(2);
const ms = Number(seconds) * 1000;
useInPlaceAead(opensslInPlace()); // as the node does
if (role === 'receive') await receive();
else await send();

async function receive(): Promise<void> {
  const session = createSessionEnd(false);
  let bytes = 0;
  let began = 0;
  const socket = await openUdpPort({
    host,
    port: Number(port),
    onDatagram(datagram) {
      const plain = session.openDatagram(datagram);
      if (plain === undefined) return;
      if (bytes === 0) {
        began = performance.now();
        setTimeout(() => {
          console.log((bytes / 1e3 / (performance.now() - began)).toFixed(2));
          void socket.close();
        }, ms);
      }
      bytes += plain.length;
    },
  });
  console.error('ready');
}

async function send(): Promise<void> {
  const session = createSessionEnd(true);
  const socket = await openUdpPort({ host: '0.0.0.0', port: 0, onDatagram: () => undefined });
  const plain = new Uint8Array(PLAIN_BYTES).fill(7);
  const sealed = new Uint8Array(DATAGRAMS_AT_ONCE * (PLAIN_BYTES + 64));
  const to = { host, port: Number(port) };
  const end = performance.now() + ms + 500;
  const batch = (): void => {
    let used = 0;
    for (let count = 0; count < DATAGRAMS_AT_ONCE; count++) used += session.sealDatagram(plain, sealed, used);
    socket.sendBatch(sealed.subarray(0, used), used / DATAGRAMS_AT_ONCE, to);
    if (performance.now() < end) setImmediate(batch);
    else void socket.close();
  };
  batch();
}
