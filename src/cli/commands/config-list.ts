import { CONFIG_KEYS, loadConfig, readSettings, SETTINGS, showSetting } from '../../daemon/config.ts';
import { command } from '../command.ts';

export default command({
  summary: 'List all settings with their meaning.',
  examples: ['config list', 'config list --json'],
  async run({ home, print }) {
    const config = loadConfig(home.configFile);
    const set = readSettings(home.configFile);
    const rows = CONFIG_KEYS.map((key) => ({
      key,
      value: config[key],
      isDefault: !set.has(key),
      doc: SETTINGS[key].doc,
      legal: SETTINGS[key].legal,
    }));
    const text = rows.map(
      (row) =>
        `${row.key} = ${showSetting(row.key, row.value)}${row.isDefault ? ' (default)' : ''}\n    ${row.doc}\n    Legal: ${row.legal}.`,
    );
    print(rows, `${text.join('\n')}\nThe file: ${home.configFile}`);
  },
});
