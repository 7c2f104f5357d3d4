/** `sd completion`: scripts for bash, zsh and fish, made from the tables of commands and options. */

import { plainFlag } from '../arguments.ts';
import { defineCommand } from '../command.ts';
import type { Option } from '../options.ts';
import { UsageError } from '../options.ts';

interface Described {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly Option<unknown>[];
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const flagsOf = ({ flags }: Option<unknown>): string[] => [...new Set(flags.map(plainFlag))];

function bash(commands: readonly Described[]): string {
  const cases = commands.map(({ name, options }) => {
    const choices = options.flatMap((option) => (option.choices ? [`      ${flagsOf(option).join('|')}) COMPREPLY=($(compgen -W ${quoted(option.choices.join(' '))} -- "$word")); return ;;`] : []));
    const flags = options.flatMap(flagsOf).filter((flag) => flag.startsWith('--')).join(' ');
    return `    ${name})\n      case "$before" in\n${choices.join('\n')}${choices.length > 0 ? '\n' : ''}      esac\n      [[ "$word" == -* ]] && COMPREPLY=($(compgen -W ${quoted(flags)} -- "$word")) ;;`;
  });
  const names = commands.map(({ name }) => name).join(' ');
  return `# bash completion for sd: source <(sd completion bash)
_sd() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then COMPREPLY=($(compgen -W ${quoted(`${names} help`)} -- "$word")); return; fi
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
}
complete -o default -F _sd sd stable-diffusion
`;
}

/** Text inside `[…]` of zsh's _arguments. */
const zshText = (text: string): string => text.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);

function zsh(commands: readonly Described[]): string {
  const cases = commands.map(({ name, options }) => {
    const lines = options.flatMap((option) =>
      flagsOf(option).map((flag) => {
        const takes = option.value === undefined ? '' : `:${zshText(option.value)}:${option.choices ? `(${option.choices.join(' ')})` : '_files'}`;
        return `        ${quoted(`${flag}[${zshText(option.description)}]${takes}`)}`;
      }),
    );
    return `    ${name})\n      _arguments \\\n${lines.join(' \\\n')} \\\n        '*:file:_files' ;;`;
  });
  const names = commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`).join('\n');
  return `#compdef sd stable-diffusion
# zsh completion for sd: source <(sd completion zsh)
_sd() {
  local -a names=(
${names}
  )
  if (( CURRENT == 2 )); then _describe command names; return; fi
  local name=$words[2]
  shift words; (( CURRENT-- ))
  case "$name" in
${cases.join('\n')}
  esac
}
compdef _sd sd stable-diffusion
`;
}

function fish(commands: readonly Described[]): string {
  const lines = commands.flatMap(({ name, summary, options }) => [
    `complete -c sd -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`,
    ...options.flatMap((option) =>
      flagsOf(option).map((flag) => {
        const key = flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
        const takes = option.value === undefined ? '' : option.choices ? ` -x -a ${quoted(option.choices.join(' '))}` : ' -r';
        return `complete -c sd -n '__fish_seen_subcommand_from ${name}' ${key}${takes} -d ${quoted(option.description)}`;
      }),
    ),
  ]);
  return `# fish completion for sd: sd completion fish | source\n${lines.join('\n')}\ncomplete -c stable-diffusion -w sd\n`;
}

const shells: ReadonlyMap<string, (commands: readonly Described[]) => string> = new Map([['bash', bash], ['zsh', zsh], ['fish', fish]]);

export const completion = defineCommand({
  description: 'Prints a script that completes commands and options in bash, zsh or fish.',
  words: '<shell>',
  options: {},
  examples: ['source <(sd completion bash)', 'source <(sd completion zsh)', 'sd completion fish | source'],
  async run(context, [shell = '']) {
    const script = shells.get(shell);
    if (!script) throw new UsageError(`There is no completion for ${JSON.stringify(shell)}; there is for ${[...shells.keys()].join(', ')}.`);
    const { commands } = await import('../commands.ts');
    const described = await Promise.all(commands.map(async ({ name, summary, load }) => ({ name, summary, options: Object.values((await load()).options) })));
    context.out.write(script(described));
    return 0;
  },
});
