/**
 * How a command is written: an object with its help, arguments, flags and what it does; this file makes oclif's
 * class of it. Owns the flags that all commands have, and how results are printed.
 */
import { Command, Flags, type Interfaces } from '@oclif/core';
import { askNode, type AskOptions } from '../daemon/control-client.ts';
import type { ControlCalls, ControlMethod } from '../daemon/control-protocol.ts';
import { homeAt, homeDirectory, type Home } from '../daemon/home.ts';
import { escapeControls } from '../log.ts';

export const commonFlags = {
  home: Flags.string({
    summary: "The node's home; else $PEERFS_HOME, else the XDG data directory.",
    helpValue: '<dir>',
    helpGroup: 'GLOBAL',
  }),
  json: Flags.boolean({ summary: 'Print the result as JSON.', helpGroup: 'GLOBAL' }),
};

type FlagsOf<F extends Interfaces.FlagInput> = Interfaces.InferredFlags<F> & {
  home: string | undefined;
  json: boolean;
};

export interface CommandContext<A extends Interfaces.ArgInput, F extends Interfaces.FlagInput> {
  readonly args: Interfaces.InferredArgs<A>;
  readonly flags: FlagsOf<F>;
  /** What stands on the command line beyond the declared arguments, where the command allows it. */
  readonly rest: readonly string[];
  readonly home: Home;
  readonly config: Interfaces.Config;
  /** One request to the node; its progress goes to standard error. */
  ask<M extends ControlMethod>(
    method: M,
    params: ControlCalls[M]['params'],
    options?: AskOptions,
  ): Promise<ControlCalls[M]['result']>;
  /** The result: `value` with --json, else `text` (which may be made of a peer's words: control characters are escaped). */
  print(value: unknown, text: string): void;
  /** A line for people, on standard error; nothing with --json. */
  say(text: string): void;
}

export interface CommandDefinition<A extends Interfaces.ArgInput, F extends Interfaces.FlagInput> {
  readonly summary: string;
  readonly description?: string;
  readonly examples: readonly string[];
  readonly args?: A;
  readonly flags?: F;
  /** Not shown in help. */
  readonly hidden?: boolean;
  /** Any number of further arguments. */
  readonly variadic?: boolean;
  readonly run: (context: CommandContext<A, F>) => Promise<void>;
}

export function command<const A extends Interfaces.ArgInput, const F extends Interfaces.FlagInput>(
  definition: CommandDefinition<A, F>,
): Command.Class {
  return class extends Command {
    static override summary = definition.summary;
    static override description = definition.description ?? '';
    static override examples = definition.examples.map((example) => `<%= config.bin %> ${example}`);
    static override hidden = definition.hidden === true;
    static override args = definition.args ?? {};
    static override flags = definition.flags ?? {};
    static override baseFlags = commonFlags;
    static override strict = definition.variadic !== true;

    async run(): Promise<void> {
      this.argv = lastWins(this.argv, { ...this.ctor.flags, ...commonFlags });
      const parsed = await this.parse(this.ctor);
      const flags = { ...switchesOff(this.ctor.flags), ...parsed.flags } as FlagsOf<F>;
      const home = homeAt(homeDirectory(flags.home));
      const say = (text: string) => {
        if (!flags.json) process.stderr.write(`${lines(text)}\n`);
      };
      await definition.run({
        args: parsed.args as Interfaces.InferredArgs<A>,
        flags,
        rest: parsed.argv.map(String),
        home,
        config: this.config,
        say,
        ask: (method, params, options = {}) => askNode(home, method, params, { onProgress: say, ...options }),
        print(value, text) {
          if (flags.json) process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
          else if (text !== '') process.stdout.write(`${lines(text)}\n`);
        },
      });
    }
  };
}

/** Of a flag with one value that is given twice the last counts, so that scripts can append to a command. */
function lastWins(argv: readonly string[], flags: Interfaces.FlagInput): string[] {
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  const seen = new Set<string>();
  const kept: string[] = [];
  for (let i = end - 1; i >= 0; i--) {
    const word = argv[i] ?? '';
    const before = argv[i - 1] ?? '';
    const isSingle = (name: string) => {
      const known = flags[name];
      return known?.type === 'option' && !known.multiple;
    };
    const inline = /^--([^=]+)=/.exec(word)?.[1];
    const name = inline ?? (before.startsWith('--') ? before.slice(2) : '');
    const words = inline === undefined ? [before, word] : [word];
    if (!isSingle(name)) {
      kept.unshift(word);
      continue;
    }
    if (!seen.has(name)) kept.unshift(...words);
    seen.add(name);
    i -= words.length - 1;
  }
  return [...kept, ...argv.slice(end)];
}

/** Switches that were not given are false; oclif leaves them out. Those with a --no- form stay unsaid. */
function switchesOff(flags: Interfaces.FlagInput): Record<string, false> {
  const names = Object.entries({ ...flags, ...commonFlags })
    .filter(([, flag]) => flag.type === 'boolean' && !flag.allowNo)
    .map(([name]) => [name, false] as const);
  return Object.fromEntries(names);
}

function lines(text: string): string {
  return text.split('\n').map(escapeControls).join('\n');
}
