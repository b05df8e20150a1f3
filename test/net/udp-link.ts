/** Two UdpPaths joined by a simulated network, under the keys of a real handshake. */
import { initiate, respond } from '../../src/crypto/handshake.ts';
import { createIdentity } from '../../src/crypto/identity.ts';
import { createSession } from '../../src/crypto/session.ts';
import type { Session } from '../../src/crypto/session.ts';
import { createUdpPath } from '../../src/net/udp-path.ts';
import type { UdpPath } from '../../src/net/udp-path.ts';
import type { UdpAddress } from '../../src/net/udp-port.ts';
import type { ManualClock } from '../manual-clock.ts';
import { createRandom } from '../wire/samples.ts';
import type { SimulatedNetwork } from './simulated-network.ts';

const NO_BYTES = new Uint8Array(0);

/** Sessions of two strangers who share a secret. */
export function createSessionPair(now: number): readonly [Session, Session] {
  const [alice, bob] = [createIdentity(), createIdentity()];
  const psk = new Uint8Array(32);
  const initiation = initiate({ identity: alice, remotePublicKey: bob.publicKey, psk, payload: NO_BYTES });
  const answer = respond(bob, initiation.message)?.complete(psk)?.answer(NO_BYTES);
  const keys = answer && initiation.finish(answer.message)?.keys;
  if (answer === undefined || keys === undefined) throw new Error('the handshake failed');
  return [
    createSession({ keys, localIndex: 1, remoteIndex: 2, now }),
    createSession({ keys: answer.keys, localIndex: 2, remoteIndex: 1, now }),
  ];
}

/** @param hosts addresses of the two; a host may be on the network many times, with other ports. */
export function createUdpLink(
  network: SimulatedNetwork,
  clock: ManualClock,
  seed: number,
  hosts: readonly [string, string] = ['10.0.0.1', '10.0.0.2'],
): readonly [UdpPath, UdpPath] {
  const sessions = createSessionPair(clock.now());
  const random = createRandom(seed);
  const paths: UdpPath[] = [];
  const ports = hosts.map((host, side) =>
    network.openPort({
      host,
      port: 0,
      onDatagram(datagram: Uint8Array, from: UdpAddress) {
        const plain = sessions[side === 0 ? 0 : 1].openDatagram(datagram);
        if (plain !== undefined) paths[side]?.input(plain, from);
      },
    }),
  );
  const [portA, portB] = ports;
  if (portA === undefined || portB === undefined) throw new Error('two hosts');
  const make = (port: typeof portA, session: Session, remote: UdpAddress): UdpPath =>
    createUdpPath({
      port,
      session,
      remote,
      clock,
      defer: (run) => void clock.after(0, run),
      random: (bytes) => {
        for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random() * 256);
      },
      onEnd: () => void port.close(),
    });
  const a = make(portA, sessions[0], portB.address);
  const b = make(portB, sessions[1], portA.address);
  paths.push(a, b);
  return [a, b];
}
