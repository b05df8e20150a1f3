import type { MountStatus, NodeStatus } from '../../daemon/control-protocol.ts';
import { escapeControls } from '../../log.ts';
import { command } from '../command.ts';
import { listed, wrapped } from '../layout.ts';
import { networkLines, peerLines } from '../network-text.ts';

const mib = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(0)} MiB`;

const paragraph = (text: string) => wrapped('', text);
const mountLine = ({ directory, readOnly }: MountStatus) =>
  `mounted at ${escapeControls(directory)}${readOnly ? ' (read-only)' : ''}`;

const conflictLines = ({ directory, copies }: NodeStatus['conflicts']) =>
  copies === 0
    ? []
    : paragraph(
        `${copies === 1 ? 'a copy' : `${copies} copies`} of what peers could not take any more, because others had changed the file: ${escapeControls(directory)} (remove what you do not need)`,
      );

export default command({
  summary: 'Show how the node is: mounts, peers, memory, what was dropped.',
  examples: ['status', 'status --json'],
  async run({ ask, print }) {
    const status = await ask('status', {});
    const { memory, eventLoopDelayMs: delay } = status;
    const dropped = Object.entries(status.counters).filter(([, count]) => count > 0);
    print(
      status,
      [
        ...paragraph(`peerfs ${status.version}, process ${status.pid}, since ${status.startedAt}, home ${status.home}`),
        ...paragraph(
          `listening on ${status.listening.join(' and ')}; paths ${status.paths.join(', ')}; ${status.lan ? 'looking on the local network' : 'no local discovery'}`,
        ),
        ...(status.mounts.length === 0 ? ['not mounted'] : status.mounts.map(mountLine)),
        ...paragraph(
          `${status.shares} shares; memory ${mib(memory.rssBytes)}; event loop late by ${delay.mean.toFixed(1)} ms, at most ${delay.max.toFixed(0)} ms`,
        ),
        ...(dropped.length === 0 ? [] : wrapped('counted: ', listed(dropped.map((pair) => pair.join(' '))))),
        ...conflictLines(status.conflicts),
        ...status.warnings.map((warning) => `warning: ${escapeControls(warning)}`),
        ...networkLines(status.network),
        ...(status.peers.length === 0 ? ['no peers'] : peerLines(status.peers, Date.now())),
      ].join('\n'),
    );
  },
});
