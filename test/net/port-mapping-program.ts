/**
 * A computer behind a router, as a child process in a namespace: maps a port, tells its status line by line, and says
 * what datagrams come. Reads commands: `check`, `network`, `close`. Long waits pass at a hundredth of their time.
 */
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';
import { argv, stdin, stdout } from 'node:process';
import { systemClock, type Clock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { openPortMapping, type PortMapping } from '../../src/net/port-mapping.ts';

const LONG_MS = 10_000;
const FASTER = 100;

const clock: Clock = {
  ...systemClock,
  after: (delayMs, expired) => systemClock.after(delayMs >= LONG_MS ? delayMs / FASTER : delayMs, expired),
};

function say(event: string, value: unknown): void {
  stdout.write(`${JSON.stringify({ event, value })}\n`);
}

const port = Number(argv[2]);
const socket = createSocket('udp4');
socket.on('message', (datagram, from) => say('datagram', { text: datagram.toString(), host: from.address }));
socket.bind(port, '0.0.0.0', () => {
  const mapping: PortMapping = openPortMapping({
    port,
    protocols: ['udp', 'tcp'],
    clock,
    random: Math.random,
    log: silentLogger,
    onChange: () => say('status', mapping.status),
  });
  createInterface({ input: stdin })
    .on('line', (line) => {
      if (line === 'network') mapping.networkChanged();
      else if (line === 'check') void mapping.check().then((answers) => say('check', answers));
      else if (line === 'close') void mapping.close().then(() => say('closed', true));
    })
    .on('close', () => {
      void mapping.close().then(() => socket.close());
    });
});
