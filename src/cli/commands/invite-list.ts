import { command } from '../command.ts';
import { table } from '../layout.ts';

export default command({
  summary: 'List invitations: those made here, and those this node is still accepting.',
  examples: ['invite list'],
  async run({ ask, print }) {
    const rows = await ask('invite.list', {});
    const cells = rows.map((row) => [row.id, row.direction, row.name ?? '-', row.state, row.expiresAt]);
    print(rows, rows.length === 0 ? 'No invitations.' : table(['ID', 'KIND', 'NAME', 'STATE', 'EXPIRES'], cells));
  },
});
