/** Nodes of whom one has a mailbox for the others: real channels over paths in memory, under one manual clock. */
import { silentLogger } from '../../src/log.ts';
import type { Handlers, PeerChannel } from '../../src/net/channel.ts';
import { createCommonPeers, type CommonPeer, type CommonPeers } from '../../src/net/common-peers.ts';
import { createMailbox, type Mailbox, type MailboxDoor } from '../../src/net/mailbox.ts';
import { createPeerChannel } from '../../src/net/peer-channel.ts';
import type { MailboxCall } from '../../src/wire/schema.ts';
import type { ManualClock } from '../manual-clock.ts';
import { handlersOf } from './channel-pair.ts';
import { createMemoryPathPair, type MemoryPathPair } from './memory-path.ts';

/** A node that looks for others through peers in common. */
export interface SeekingNode {
  readonly peerId: string;
  readonly boot: number;
  readonly commonPeers: CommonPeers;
}

export interface MailboxNode {
  readonly peerId: string;
  readonly mailbox: Mailbox;
  /** What the node answers with, instead of the mailbox: for hostile ones. */
  readonly answers: Partial<Pick<Handlers, MailboxCall>>;
  /** Calls that came, by name. */
  readonly calls: { leaveSignal: number; watchSignals: number };
}

/** The two ends of what joins a seeking node and one that has a mailbox. */
export interface Joint {
  readonly near: PeerChannel;
  far: PeerChannel;
  paths: MemoryPathPair;
  /** The far end takes the near one off its list of peers. */
  remove(): void;
  /** Another boot of the far node takes over, with an empty mailbox of its own. */
  restart(far: MailboxNode, boot: number): void;
  close(): void;
}

const newChannel = (clock: ManualClock, peerId: string, boot: number): PeerChannel =>
  createPeerChannel({ peerId, bootId: Buffer.alloc(16, boot), name: `node-${boot}`, clock, log: silentLogger });

export function createSeekingNode(clock: ManualClock, peerId: string, boot: number): SeekingNode {
  return { peerId, boot, commonPeers: createCommonPeers({ clock, random: () => 0.5, log: silentLogger }) };
}

export function createMailboxNode(
  clock: ManualClock,
  peerId: string,
  allowed: (peerId: string) => boolean = () => true,
): MailboxNode {
  return {
    peerId,
    mailbox: createMailbox({ clock, allowed }),
    answers: {},
    calls: { leaveSignal: 0, watchSignals: 0 },
  };
}

export function join(clock: ManualClock, node: SeekingNode, helper: MailboxNode, helperBoot: number): Joint {
  const near = newChannel(clock, helper.peerId, node.boot);
  const common: CommonPeer = node.commonPeers.add(near);
  near.serve(handlersOf({}), { signalLeft: (left) => common.signalLeft(left) });
  const serve = (with_: MailboxNode, boot: number): { far: PeerChannel; door: MailboxDoor } => {
    const far = newChannel(clock, node.peerId, boot);
    const door = with_.mailbox.open(node.peerId, (left) => far.push('signalLeft', left));
    const handlers = { ...door.handlers, ...with_.answers };
    far.serve(
      handlersOf({
        leaveSignal: (request, context) => {
          with_.calls.leaveSignal += 1;
          return handlers.leaveSignal(request, context);
        },
        watchSignals: (request, context) => {
          with_.calls.watchSignals += 1;
          return handlers.watchSignals(request, context);
        },
      }),
      {},
    );
    return { far, door };
  };
  const attach = (far: PeerChannel): MemoryPathPair => {
    const paths = createMemoryPathPair({ clock });
    near.attach(paths.ends[0], 0);
    far.attach(paths.ends[1], 0);
    return paths;
  };
  let { far, door } = serve(helper, helperBoot);
  const joint: Joint = {
    near,
    far,
    paths: attach(far),
    remove() {
      door.close();
      joint.far.close('removed');
    },
    restart(next, boot) {
      joint.paths.cut();
      door.close();
      joint.far.close('shutting-down');
      ({ far, door } = serve(next, boot));
      joint.far = far;
      joint.paths = attach(far);
    },
    close() {
      common.close();
      door.close();
      near.close('shutting-down');
      joint.far.close('shutting-down');
    },
  };
  return joint;
}
