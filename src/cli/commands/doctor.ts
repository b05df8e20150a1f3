import { examine } from '../../daemon/doctor.ts';
import { EXIT } from '../../errors.ts';
import { command } from '../command.ts';

const MARK = { ok: 'ok  ', warning: 'WARN', fault: 'FAIL' } as const;

export default command({
  summary: 'Check this computer: FUSE, kernel, permissions, ports, clock; says how to mend each.',
  description: 'Ends with exit code 9 when something is wrong that peerfs cannot do without.',
  examples: ['doctor', 'doctor --json'],
  async run({ home, print }) {
    const findings = await examine(home);
    const text = findings.map(
      ({ check, result, detail, mend }) =>
        `${MARK[result]}  ${check}: ${detail}${mend === undefined ? '' : `\n      ${mend}`}`,
    );
    print(findings, text.join('\n'));
    if (findings.some((finding) => finding.result === 'fault')) process.exitCode = EXIT.environment;
  },
});
