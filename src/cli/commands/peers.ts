import type { PeerStatus } from '../../daemon/control-protocol.ts';
import { command } from '../command.ts';
import { table } from '../layout.ts';

export const peerTable = (rows: readonly PeerStatus[]): string =>
  table(
    ['NAME', 'STATE', 'PATH', 'RTT', 'LAST SEEN', 'ID'],
    rows.map((row) => [
      row.name,
      row.state,
      row.path ?? '-',
      row.rttMs === null ? '-' : `${row.rttMs.toFixed(1)} ms`,
      row.lastSeenAt ?? 'never',
      row.id,
    ]),
  );

export default command({
  summary: 'List the peers.',
  examples: ['peers', 'peers --json'],
  async run({ ask, print }) {
    const rows = await ask('peers', {});
    print(rows, rows.length === 0 ? 'No peers yet: peerfs invite, or peerfs accept.' : peerTable(rows));
  },
});
