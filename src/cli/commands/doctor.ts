import { Flags } from '@oclif/core';
import type { NetworkFinding } from '../../daemon/control-protocol.ts';
import { examine } from '../../daemon/doctor.ts';
import { EXIT } from '../../errors.ts';
import { escapeControls } from '../../log.ts';
import { command } from '../command.ts';

const MARK = { ok: 'ok  ', warning: 'WARN', fault: 'FAIL' } as const;

const networkLine = ({ way, works, detail, advice }: NetworkFinding): string => {
  const mark = works === null ? '--  ' : works ? MARK.ok : MARK.fault;
  return `${mark}  ${way}: ${escapeControls(detail)}${advice === '' ? '' : `\n      ${escapeControls(advice)}`}`;
};

export default command({
  summary: 'Check this computer: FUSE, kernel, permissions, ports, clock; says how to mend each.',
  description:
    'With --network the running node tries each way to find and reach peers instead. Ends with exit code 9 when something is wrong that peerfs cannot do without, or no way works.',
  examples: ['doctor', 'doctor --network', 'doctor --json'],
  flags: { network: Flags.boolean({ summary: 'Try each way to find and reach peers; needs a running node.' }) },
  async run({ flags, home, ask, print, say }) {
    if (flags.network) {
      say('Trying each way; this takes up to a minute.');
      const findings = await ask(
        'network.check',
        {},
        {
          onProgress: (text) => {
            if (!flags.json && text.startsWith('{')) {
              process.stdout.write(`${networkLine(JSON.parse(text) as NetworkFinding)}\n`);
            }
          },
        },
      );
      print(findings, '');
      const ways = findings.filter(({ way }) => way !== 'This computer');
      if (!ways.some(({ works }) => works === true)) process.exitCode = EXIT.environment;
      return;
    }
    const findings = await examine(home);
    const text = findings.map(
      ({ check, result, detail, mend }) =>
        `${MARK[result]}  ${check}: ${detail}${mend === undefined ? '' : `\n      ${mend}`}`,
    );
    print(findings, text.join('\n'));
    if (findings.some((finding) => finding.result === 'fault')) process.exitCode = EXIT.environment;
  },
});
