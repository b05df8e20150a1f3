/**
 * A host of its own, run by lan-socket.test.ts in a network namespace: `lan-program.js LISTEN_HOST`. Sends each line
 * of its input to everybody on the local networks; prints `FROM text` for what it hears and `changed` when its
 * addresses have.
 */
import { createInterface } from 'node:readline';
import { systemClock } from '../../src/clock.ts';
import { openLanSocket } from '../../src/net/lan-socket.ts';

const socket = await openLanSocket({
  listenHost: process.argv[2] ?? '::',
  clock: systemClock,
  onDatagram: (datagram, from) => process.stdout.write(`${from} ${Buffer.from(datagram).toString()}\n`),
  onNetworkChange: () => process.stdout.write('changed\n'),
});
const input = createInterface({ input: process.stdin });
input.on('line', (line) => socket.send(Buffer.from(line)));
input.on('close', () => void socket.close());
process.stdout.write('ready\n');
