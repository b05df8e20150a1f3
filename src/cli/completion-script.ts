/** Completion scripts, made from the commands as oclif knows them: words, then flags; folders where one is due. */
import type { Interfaces } from '@oclif/core';
import type { NameSource } from './commands/completion-names.ts';

interface Entry {
  /** 'peers rename' */
  readonly words: string;
  readonly summary: string;
  readonly flags: readonly {
    readonly name: string;
    readonly summary: string;
    readonly takesValue: boolean;
    readonly choices: readonly string[];
  }[];
  /** What the first argument may be, where that is a fixed list. */
  readonly choices: readonly string[];
}

function entries(config: Interfaces.Config): Entry[] {
  return config.commands
    .filter((command) => !command.hidden)
    .map((command) => ({
      words: command.id.replaceAll(':', ' '),
      summary: command.summary ?? '',
      flags: Object.entries(command.flags).flatMap(([name, flag]) => {
        const row = {
          name: `--${name}`,
          summary: flag.summary ?? '',
          takesValue: flag.type === 'option',
          choices: choicesOf(flag),
        };
        const no = flag.type === 'boolean' && flag.allowNo ? [{ ...row, name: `--no-${name}` }] : [];
        return [row, ...no];
      }),
      choices: choicesOf(Object.values(command.args)[0]),
    }))
    .sort((a, b) => a.words.localeCompare(b.words));
}

function choicesOf(thing: object | undefined): readonly string[] {
  if (thing === undefined || !('options' in thing) || !Array.isArray(thing.options)) return [];
  return thing.options.map(String);
}

/** The words that may follow `prefix` ('' or a topic). */
function wordsAfter(all: readonly Entry[], prefix: string): string[] {
  const begins = prefix === '' ? '' : `${prefix} `;
  const next = all
    .filter((e) => e.words.startsWith(begins))
    .map((e) => e.words.slice(begins.length).split(' ')[0] ?? '');
  return [...new Set(next)].filter((word) => word !== '');
}

/** The commands whose first argument is a name that the node knows. */
const NAMES: Readonly<Record<string, NameSource>> = {
  'peers rename': 'peers',
  'peers remove': 'peers',
  'share --to': 'peers',
  unshare: 'shares',
  'shares quota': 'shares',
  'invite revoke': 'invitations',
  'config get': 'settings',
  'config set': 'settings',
};

export function bashCompletion(config: Interfaces.Config): string {
  const all = entries(config);
  const topics = [...new Set(all.filter((e) => e.words.includes(' ')).map((e) => e.words.split(' ')[0] ?? ''))];
  const cases = all.map((e) => `    '${e.words}') flags='${e.flags.map((flag) => flag.name).join(' ')}' ;;`);
  const subwords = topics.map((topic) => `      ${topic}) words='${wordsAfter(all, topic).join(' ')}' ;;`);
  const choices = all.flatMap((e) => [
    ...(e.choices.length > 0 ? [`    '${e.words}') words='${e.choices.join(' ')}' ;;`] : []),
    ...e.flags
      .filter((flag) => flag.choices.length > 0)
      .map((flag) => `    '${e.words} ${flag.name}') words='${flag.choices.join(' ')}' ;;`),
  ]);
  const names = Object.entries(NAMES).map(([at, source]) => `    '${at}') source=${source} ;;`);
  return `# bash completion for peerfs; made by \`peerfs completion bash\`
_peerfs() {
  local cur=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local words='' flags='' source='' command=\${COMP_WORDS[1]} first=2 name
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${wordsAfter(all, '').join(' ')}' -- "$cur"))
    return
  fi
  if [ "$COMP_CWORD" -eq 2 ]; then
    case $command in
${subwords.join('\n')}
    esac
  fi
  case "$command \${COMP_WORDS[2]}" in
    ${topics
      .map((topic) =>
        wordsAfter(all, topic)
          .map((word) => `'${topic} ${word}'`)
          .join('|'),
      )
      .join('|')}) command="$command \${COMP_WORDS[2]}" first=3 ;;
  esac
  case $command in
${cases.join('\n')}
  esac
  # What is asked for here: a flag's value, or the command's first argument.
  local place=''
  case $previous in
    -*) place="$command $previous" ;;
    *) [ "$COMP_CWORD" -ne "$first" ] || place=$command ;;
  esac
  case $place in
${[...choices, ...names].join('\n')}
  esac
  if [ -n "$source" ] && [[ $cur != -* ]]; then
    COMPREPLY=()
    while IFS= read -r name; do
      [[ $name != "$cur"* ]] || COMPREPLY+=("$(printf %q "$name")")
    done < <(peerfs completion-names "$source" 2>/dev/null)
    return
  fi
  case $cur in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")) ;;
    *)
      COMPREPLY=($(compgen -W "$words" -- "$cur"))
      [ "\${#COMPREPLY[@]}" -gt 0 ] || {
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      }
      ;;
  esac
}
complete -F _peerfs peerfs`;
}

const quote = (text: string) =>
  text.replaceAll("'", "'\\''").replaceAll('[', '(').replaceAll(']', ')').replaceAll(':', ' -');

export function zshCompletion(config: Interfaces.Config): string {
  const all = entries(config);
  const described = (prefix: string) =>
    wordsAfter(all, prefix).map((word) => {
      const entry = all.find((e) => e.words === (prefix === '' ? word : `${prefix} ${word}`));
      return `'${word}:${quote(entry?.summary ?? '')}'`;
    });
  const topics = [...new Set(all.filter((e) => e.words.includes(' ')).map((e) => e.words.split(' ')[0] ?? ''))];
  const cases = all.map((e) => {
    const flags = e.flags.map(
      (flag) =>
        `'${flag.name}${flag.takesValue ? '=' : ''}[${quote(flag.summary)}]${flag.takesValue ? ':value:_files' : ''}'`,
    );
    return `    '${e.words}') _arguments ${flags.join(' ')} '*:file:_files' ;;`;
  });
  return `#compdef peerfs
# zsh completion for peerfs; made by \`peerfs completion zsh\`
_peerfs() {
  local -a commands
  if (( CURRENT == 2 )); then
    commands=(${described('').join(' ')})
    _describe command commands
    return
  fi
  if (( CURRENT == 3 )) && [[ $words[3] != -* ]]; then
    case $words[2] in
${topics.map((topic) => `      ${topic}) commands=(${described(topic).join(' ')}); _describe command commands ;;`).join('\n')}
    esac
  fi
  local command=$words[2]
  case "$words[2] $words[3]" in
    ${topics
      .map((topic) =>
        wordsAfter(all, topic)
          .map((word) => `'${topic} ${word}'`)
          .join('|'),
      )
      .join('|')}) command="$words[2] $words[3]" ;;
  esac
  case $command in
${cases.join('\n')}
  esac
}
_peerfs "$@"`;
}
