/**
 * Records every datagram (UDP over IPv4) that passes one network interface of the laboratory, in both directions, with
 * its addresses. The kernel hands over what goes out only on a packet socket, which Node.js has none of: a few lines of
 * Python read it. Segmentation in the network card must be off there (`natlab`'s `single`), or many datagrams come as one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface RecordedDatagram {
  /** Unix time, milliseconds. */
  readonly atMs: number;
  /** Whether it left the host. */
  readonly isOut: boolean;
  /** The far end, host:port. */
  readonly remote: string;
  readonly payload: Buffer;
}

export interface Recorder {
  /** All until now. */
  recorded(): readonly RecordedDatagram[];
  /** Idempotent. @throws when the kernel dropped what was not read in time. */
  close(): Promise<void>;
}

const HEADER_BYTES = 17;

/** argv[1]: interface. A record: time f64, out u8, address u32, port u16, length u16, payload; all big-endian. */
const PROGRAM = `
import os, signal, socket, struct, sys
ETH_P_ALL, PACKET_OUTGOING, SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 3, 4, 263, 6, 33
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 27)
s.bind((sys.argv[1], ETH_P_ALL))
ended = False
def end(*_):
    global ended
    ended = True
signal.signal(signal.SIGTERM, end)
s.settimeout(0.2)
sys.stderr.write('ready')
sys.stderr.flush()
import time
while True:
    try:
        packet, address = s.recvfrom(65535)
    except TimeoutError:
        if ended:
            break
        continue
    if address[1] != 0x0800 or len(packet) < 28 or packet[9] != 17:
        continue
    start = (packet[0] & 15) * 4
    if struct.unpack('>H', packet[6:8])[0] & 0x3fff:
        sys.exit('a fragment')
    size = struct.unpack('>H', packet[start + 4:start + 6])[0] - 8
    if size > 1472:
        sys.exit('%d bytes in one datagram: several were joined' % size)
    out = address[2] == PACKET_OUTGOING
    host = packet[16:20] if out else packet[12:16]
    port = packet[start + 2:start + 4] if out else packet[start:start + 2]
    record = struct.pack('>dB', time.time(), out) + host + port + struct.pack('>H', size)
    record += packet[start + 8:start + 8 + size]
    while record:
        record = record[os.write(1, record):]
seen, dropped = struct.unpack('II', s.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
if dropped:
    sys.exit('%d of %d packets were not recorded' % (dropped, seen))
`;

/** @param enter argv that runs a program in the network of the interface. */
export async function startRecorder(enter: readonly string[], networkInterface: string): Promise<Recorder> {
  const [program, ...args] = [...enter, 'python3', '-c', PROGRAM, networkInterface];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const ended = once(child, 'close');
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const records: RecordedDatagram[] = [];
  let rest = Buffer.alloc(0);
  child.stdout.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    let at = 0;
    for (;;) {
      if (rest.length < at + HEADER_BYTES) break;
      const end = at + HEADER_BYTES + rest.readUInt16BE(at + 15);
      if (rest.length < end) break;
      records.push({
        atMs: rest.readDoubleBE(at) * 1000,
        isOut: rest[at + 8] === 1,
        remote: `${rest.subarray(at + 9, at + 13).join('.')}:${rest.readUInt16BE(at + 13)}`,
        payload: rest.subarray(at + HEADER_BYTES, end),
      });
      at = end;
    }
    rest = rest.subarray(at);
  });
  await Promise.race([once(child.stderr, 'data'), ended]);
  if (said !== 'ready') throw new Error(`recording at ${networkInterface}: ${said}`);
  let closed = false;
  return {
    recorded: () => records,
    async close() {
      if (closed) return;
      closed = true;
      child.kill('SIGTERM');
      const [code] = (await ended) as [number | null];
      if (code !== 0) throw new Error(`recording at ${networkInterface}: ${said.slice('ready'.length)}`);
    },
  };
}
