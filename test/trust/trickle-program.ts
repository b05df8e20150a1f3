/**
 * A TCP proxy, run as `trickle-program.js ADDRESS PORT TARGET TARGETPORT`. Lines on its input: `trickle` has it pass on what the
 * target says at one byte a second, on all connections, until `open`. What callers say always passes.
 */
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

const [address, port, target, targetPort] = process.argv.slice(2);
const TRICKLE_MS = 1000;

interface Pair {
  readonly caller: Socket;
  readonly held: Buffer[];
}

let isTrickling = false;
const pairs = new Set<Pair>();

const server = createServer((caller) => {
  const called = connect(Number(targetPort), target);
  const pair: Pair = { caller, held: [] };
  pairs.add(pair);
  const end = (): void => {
    pairs.delete(pair);
    caller.destroy();
    called.destroy();
  };
  for (const socket of [caller, called]) socket.on('error', end).on('close', end);
  caller.on('data', (chunk) => called.write(chunk));
  called.on('data', (chunk) => {
    if (isTrickling || pair.held.length > 0) pair.held.push(chunk);
    else caller.write(chunk);
  });
});

setInterval(() => {
  for (const { caller, held } of pairs) {
    const first = held[0];
    if (first === undefined) continue;
    if (!isTrickling) caller.write(Buffer.concat(held.splice(0)));
    else {
      caller.write(first.subarray(0, 1));
      if (first.length > 1) held[0] = first.subarray(1);
      else held.shift();
    }
  }
}, TRICKLE_MS);

createInterface({ input: process.stdin })
  .on('line', (line) => {
    isTrickling = line === 'trickle';
    if (isTrickling) return;
    for (const { caller, held } of pairs) if (held.length > 0) caller.write(Buffer.concat(held.splice(0)));
  })
  .on('close', () => process.exit(0));
server.listen(Number(port), address, () => process.stdout.write('ready\n'));
