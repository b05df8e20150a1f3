import { formatSize } from '../../daemon/setting-values.ts';
import { escapeControls } from '../../log.ts';
import { command } from '../command.ts';
import { table } from '../layout.ts';

export default command({
  summary: 'List what this node shares.',
  examples: ['shares'],
  async run({ ask, print }) {
    const rows = await ask('shares', {});
    const cells = rows.map((row) => [
      row.name,
      row.writable ? 'write' : 'read',
      row.quota === null ? '' : formatSize(row.quota),
      row.to === null ? 'all peers' : row.to.join(', '),
      escapeControls(row.directory),
      row.fault ?? '',
    ]);
    print(
      rows,
      rows.length === 0
        ? 'Nothing is shared: peerfs share.'
        : table(['NAME', 'MODE', 'QUOTA', 'TO', 'FOLDER', ''], cells),
    );
  },
});
