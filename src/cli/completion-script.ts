/** Completion scripts, made from the commands as oclif knows them: words, then flags; folders where one is due. */
import type { Interfaces } from '@oclif/core';

interface Entry {
  /** 'peers rename' */
  readonly words: string;
  readonly summary: string;
  readonly flags: readonly { readonly name: string; readonly summary: string; readonly takesValue: boolean }[];
}

function entries(config: Interfaces.Config): Entry[] {
  return config.commands
    .filter((command) => !command.hidden)
    .map((command) => ({
      words: command.id.replaceAll(':', ' '),
      summary: command.summary ?? '',
      flags: Object.entries(command.flags).flatMap(([name, flag]) => {
        const row = { name: `--${name}`, summary: flag.summary ?? '', takesValue: flag.type === 'option' };
        const no = flag.type === 'boolean' && flag.allowNo ? [{ ...row, name: `--no-${name}` }] : [];
        return [row, ...no];
      }),
    }))
    .sort((a, b) => a.words.localeCompare(b.words));
}

/** The words that may follow `prefix` ('' or a topic). */
function wordsAfter(all: readonly Entry[], prefix: string): string[] {
  const begins = prefix === '' ? '' : `${prefix} `;
  const next = all
    .filter((e) => e.words.startsWith(begins))
    .map((e) => e.words.slice(begins.length).split(' ')[0] ?? '');
  return [...new Set(next)].filter((word) => word !== '');
}

export function bashCompletion(config: Interfaces.Config): string {
  const all = entries(config);
  const topics = [...new Set(all.filter((e) => e.words.includes(' ')).map((e) => e.words.split(' ')[0] ?? ''))];
  const cases = all.map((e) => `    '${e.words}') flags='${e.flags.map((flag) => flag.name).join(' ')}' ;;`);
  const subwords = topics.map((topic) => `      ${topic}) words='${wordsAfter(all, topic).join(' ')}' ;;`);
  return `# bash completion for peerfs; made by \`peerfs completion bash\`
_peerfs() {
  local cur=\${COMP_WORDS[COMP_CWORD]} words='' flags='' command=\${COMP_WORDS[1]}
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
      .join('|')}) command="$command \${COMP_WORDS[2]}" ;;
  esac
  case $command in
${cases.join('\n')}
  esac
  case $cur in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")) ;;
    *)
      COMPREPLY=($(compgen -W "$words" -- "$cur"))
      [ "\${#COMPREPLY[@]}" -gt 0 ] || { compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); }
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
