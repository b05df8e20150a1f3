/**
 * One-way throughput of a UDP path between two processes on loopback, sealing included:
 *
 *     node udp-path.bench.js [megabytes] [--plain]
 *
 * prints JSON: MB/s of frames received whole, retransmissions, and the processor time of both ends.
 */
import { fork } from 'node:child_process';
import { systemClock } from '../../src/clock.ts';
import { createUdpPath, type UdpPath } from '../../src/net/udp-path.ts';
import { openUdpPort, type UdpAddress, type UdpPort } from '../../src/net/udp-port.ts';
import { createSessionEnd } from './session-pair.ts';

const FRAME_BYTES = 256 * 1024;

interface Result {
  readonly megabytesPerSecond: number;
  readonly cpuSeconds: number;
}

async function openEnd(
  first: boolean,
  plain: boolean,
): Promise<{ port: UdpPort; connect: (remote: UdpAddress) => UdpPath }> {
  const session = createSessionEnd(first);
  let path: UdpPath | undefined;
  const port = await openUdpPort({
    host: '127.0.0.1',
    port: 0,
    plain,
    onDatagram(datagram, from) {
      const opened = session.openDatagram(datagram);
      if (opened !== undefined) path?.input(opened, from);
    },
  });
  return { port, connect: (remote) => (path = createUdpPath({ port, session, remote, clock: systemClock })) };
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function receive(bytes: number, plain: boolean): Promise<void> {
  const { port, connect } = await openEnd(false, plain);
  process.on('message', (remote: UdpAddress) => {
    let got = 0;
    let began = 0;
    connect(remote).start({
      frame(_lane, frame) {
        if (got === 0) began = performance.now();
        got += frame.length;
        if (got < bytes) return;
        const result: Result = {
          megabytesPerSecond: Math.round(got / 1e3 / (performance.now() - began)),
          cpuSeconds: cpuSeconds(),
        };
        process.send?.(result);
      },
      writable: () => undefined,
      end: () => process.exit(),
    });
  });
  process.send?.(port.address);
}

async function send(bytes: number, plain: boolean): Promise<void> {
  const { port, connect } = await openEnd(true, plain);
  const child = fork(
    new URL(import.meta.url).pathname,
    [String(bytes / 1e6), '--receive', ...(plain ? ['--plain'] : [])],
    {
      execArgv: process.env['PROFILE'] === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${process.env['PROFILE']}`],
    },
  );
  const path = await new Promise<UdpPath>((resolve) => child.once('message', (to: UdpAddress) => resolve(connect(to))));
  child.send(port.address);
  const result = new Promise<Result>((resolve) => child.once('message', (message: Result) => resolve(message)));
  const frame = new Uint8Array(FRAME_BYTES).fill(7);
  let left = Math.ceil(bytes / FRAME_BYTES);
  const pump = (): void => {
    while (left > 0) {
      left--;
      if (!path.send(1, [frame])) return;
    }
  };
  path.start({ frame: () => undefined, writable: pump, end: () => undefined });
  pump();
  const alive = setInterval(() => undefined, 1_000);
  const { megabytesPerSecond, cpuSeconds: receiverCpuSeconds } = await result;
  console.log(
    JSON.stringify({
      bench: plain ? 'udp-path-plain' : 'udp-path',
      megabytes: bytes / 1e6,
      megabytesPerSecond,
      retransmissions: path.statistics.retransmissions,
      rttMs: path.statistics.rttMs,
      datagramsSent: port.statistics.datagramsSent,
      answers: port.statistics.datagramsReceived,
      senderCpuSeconds: cpuSeconds(),
      receiverCpuSeconds,
    }),
  );
  path.close();
  clearInterval(alive);
  await port.close();
  if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
}

const megabytes = Number(process.argv[2] ?? 500);
const plain = process.argv.includes('--plain');
if (process.argv.includes('--receive')) await receive(megabytes * 1e6, plain);
else await send(megabytes * 1e6, plain);
