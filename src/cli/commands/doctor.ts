import { Flags } from '@oclif/core';
import type { NetworkFinding } from '../../daemon/control-protocol.ts';
import { examine } from '../../daemon/doctor.ts';
import { EXIT } from '../../errors.ts';
import { command } from '../command.ts';
import { findingLines, reachesOthers } from '../network-text.ts';

const MARK = { ok: 'ok  ', warning: 'WARN', fault: 'FAIL' } as const;

export default command({
  summary: 'Check this computer: FUSE, kernel, permissions, ports, clock; says how to mend each.',
  description:
    'With --network the running node tries each way to find and reach peers instead: ok works, FAIL does not, -- is off or cannot be known. Ends with exit code 9 when something is wrong that peerfs cannot do without, or no way works.',
  examples: ['doctor', 'doctor --network', 'doctor --json'],
  flags: { network: Flags.boolean({ summary: 'Try each way to find and reach peers; needs a running node.' }) },
  async run({ flags, home, ask, print, say }) {
    if (flags.network) {
      say('Trying each way; this takes up to a minute.');
      const onLine = (line: string) => {
        if (!flags.json) print(null, findingLines(JSON.parse(line) as NetworkFinding).join('\n'));
      };
      const findings = await ask('network.check', {}, { onLine });
      const reaches = reachesOthers(findings);
      print(findings, reaches ? '' : 'No way to reach anybody works from here.');
      if (!reaches) process.exitCode = EXIT.environment;
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
