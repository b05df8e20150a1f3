/** Which command the words of a command line name. */
import { PeerfsError } from '../errors.ts';

export interface ChosenCommand {
  /** As oclif has it: `peers:rename`. */
  readonly id: string;
  /** What follows the command's name. */
  readonly argv: readonly string[];
}

const HELP = ['--help', '-h', '--version'];

/** Flags that stand before the command are put behind it: `peerfs --home x peers`. */
export function globalFlagsLast(argv: readonly string[]): string[] {
  const rest = [...argv];
  const flags: string[] = [];
  for (;;) {
    const [word = ''] = rest;
    if (word === '--json' || word.startsWith('--home=')) flags.push(...rest.splice(0, 1));
    else if (word === '--home' && rest.length > 1) flags.push(...rest.splice(0, 2));
    else break;
  }
  const end = rest.indexOf('--');
  return end < 0 ? [...rest, ...flags] : [...rest.slice(0, end), ...flags, ...rest.slice(end)];
}

/**
 * @param ids all commands.
 * @returns undefined when no command is named, or only a topic, which oclif then explains.
 * @throws USAGE when there is no such command.
 */
export function chosenCommand(argv: readonly string[], ids: readonly string[]): ChosenCommand | undefined {
  const end = argv.findIndex((word) => word.startsWith('-'));
  const words = end < 0 ? argv : argv.slice(0, end);
  for (let length = words.length; length > 0; length--) {
    const id = words.slice(0, length).join(':');
    if (ids.includes(id)) return { id, argv: argv.slice(length) };
  }
  const [topic] = words;
  if (topic === undefined) {
    const [first] = argv;
    if (first === undefined || HELP.includes(first)) return undefined;
    throw new PeerfsError('USAGE', `"${first}" is not a flag of peerfs, nor a command`, { hint: 'See: peerfs help' });
  }
  const below = ids.filter((id) => id.startsWith(`${topic}:`)).map((id) => id.slice(topic.length + 1));
  if (below.length > 0 && words.length === 1) return undefined;
  throw new PeerfsError('USAGE', `there is no command "${words.slice(0, below.length > 0 ? 2 : 1).join(' ')}"`, {
    hint: below.length > 0 ? `peerfs ${topic} knows: ${below.join(', ')}.` : 'See: peerfs help',
  });
}
