/** `sd completion`: scripts for bash, zsh and fish, generated from the tables of commands and options. */

import { type Command, type CommandEntry, commonOptions, defineCommand } from '../command.ts';
import { flag, type Option, UsageError } from '../options.ts';

interface Described {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly Option<unknown>[];
  /** Values of its first argument; undefined if that is free text or a file. */
  readonly words: readonly string[] | undefined;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function bash(commands: readonly Described[]): string {
  const cases = commands.map(({ name, options, words }) => {
    const choices = options.flatMap((option) =>
      option.choices
        ? [
            `      ${option.flags.join('|')}) COMPREPLY=($(compgen -W ${quoted(option.choices.join(' '))} -- "$word")); return ;;`,
          ]
        : [],
    );
    const flags = options
      .flatMap((option) => option.flags)
      .filter((name) => name.startsWith('--'))
      .join(' ');
    const first = words
      ? `\n      [[ $COMP_CWORD -eq 2 && "$word" != -* ]] && COMPREPLY=($(compgen -W ${quoted(words.join(' '))} -- "$word"))`
      : '';
    return `    ${name})\n      case "$before" in\n${choices.join('\n')}${choices.length > 0 ? '\n' : ''}      esac${first}\n      [[ "$word" == -* ]] && COMPREPLY=($(compgen -W ${quoted(flags)} -- "$word")) ;;`;
  });
  const names = commands.map(({ name }) => name).join(' ');
  return `# bash completion for sd: source <(sd completion bash)
_sd() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then COMPREPLY=($(compgen -W ${quoted(names)} -- "$word")); return; fi
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
}
complete -o default -F _sd sd stable-diffusion
`;
}

/** Escapes text for the `[…]` of zsh's _arguments. */
const zshText = (text: string): string => text.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);

function zsh(commands: readonly Described[]): string {
  const cases = commands.map(({ name, options, words }) => {
    const lines = options.flatMap((option) =>
      option.flags.map((flag) => {
        const takes =
          option.value === undefined
            ? ''
            : `:${zshText(option.value)}:${option.choices ? `(${option.choices.join(' ')})` : '_files'}`;
        return `        ${quoted(`${flag}[${zshText(option.description)}]${takes}`)}`;
      }),
    );
    return `    ${name})\n      _arguments \\\n${lines.join(' \\\n')} \\\n        ${words ? quoted(`1:word:(${words.join(' ')})`) : "'*:file:_files'"} ;;`;
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
  const lines = commands.flatMap(({ name, summary, options, words }) => [
    `complete -c sd -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`,
    ...(words
      ? [
          `complete -c sd -n '__fish_seen_subcommand_from ${name}; and test (count (commandline -opc)) -eq 2' -f -a ${quoted(words.join(' '))}`,
        ]
      : []),
    ...options.flatMap((option) =>
      option.flags.map((flag) => {
        const key = flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
        const takes =
          option.value === undefined ? '' : option.choices ? ` -x -a ${quoted(option.choices.join(' '))}` : ' -r';
        return `complete -c sd -n '__fish_seen_subcommand_from ${name}' ${key}${takes} -d ${quoted(option.description)}`;
      }),
    ),
  ]);
  return `# fish completion for sd: sd completion fish | source\n${lines.join('\n')}\ncomplete -c stable-diffusion -w sd\n`;
}

const shells: ReadonlyMap<string, (commands: readonly Described[]) => string> = new Map([
  ['bash', bash],
  ['zsh', zsh],
  ['fish', fish],
]);

/** The commands with the options that the parser adds to each, and `help`. */
async function describe(commands: readonly CommandEntry[]): Promise<Described[]> {
  const added = [...Object.values(commonOptions), flag(['--help', '-h'], 'help')];
  const described = commands.map(async ({ name, summary, load }) => {
    const { options, wordChoices } = await load();
    return { name, summary, options: [...Object.values(options), ...added], words: wordChoices };
  });
  return [
    ...(await Promise.all(described)),
    { name: 'help', summary: 'help for a command', options: [], words: commands.map(({ name }) => name) },
  ];
}

/** Builds the command from the table of all commands. */
export const completionOf = (commands: readonly CommandEntry[]): Command =>
  defineCommand({
    description: 'Prints a completion script for bash, zsh or fish.',
    words: '<shell>',
    wordChoices: [...shells.keys()],
    options: {},
    examples: ['source <(sd completion bash)', 'source <(sd completion zsh)', 'sd completion fish | source'],
    async run(context, [shell = '']) {
      const script = shells.get(shell);
      if (!script)
        throw new UsageError(`Unknown shell ${JSON.stringify(shell)}. Choose ${[...shells.keys()].join(', ')}.`);
      context.out.write(script(await describe(commands)));
      return 0;
    },
  });
