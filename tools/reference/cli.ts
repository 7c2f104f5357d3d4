/** Blocks of docs/reference/cli.md: commands, their options, exit codes and error codes. */

import { commands } from '../../src/cli/commands.ts';
import { commonOptions } from '../../src/cli/command.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import type { Option } from '../../src/cli/options.ts';
import { type Block, code, table } from './block.ts';
import { commentsBefore, sourceOf } from './doc-comments.ts';

const flagsOf = ({ flags, value }: Option<unknown>): string => {
  const [first = '', ...others] = flags;
  return [code(value === undefined ? first : `${first} ${value}`), ...others.map(code)].join(', ');
};

/** Flags, default and description of an option: `steps of sampling (default: 50)`, `device [cpu, webgpu, cuda]`. */
function described(option: Option<unknown>): readonly string[] {
  const choices = / \[([^\]|]+(?:, [^\]|]+)+)\]$/.exec(option.description);
  const sentence = choices ? option.description.slice(0, choices.index) : option.description;
  const [, start = sentence, byDefault = '', rest = ''] =
    /^(.*?)\s*\(default: ((?:[^()]|\([^()]*\))*)\)(.*)$/.exec(sentence) ?? [];
  const words = choices?.[1]?.split(', ').map(code).join(', ');
  const text = `${start}${rest}${words === undefined ? '' : `; one of ${words}`}`;
  return [flagsOf(option), byDefault, text.replaceAll(/<([^>`]+)>/g, '`<$1>`')];
}

export const cliBlocks: Readonly<Record<string, Block>> = {
  commands: () => {
    const page = sourceOf('docs/reference/cli.md');
    const missing = commands.find(({ name }) => !page.includes(`<!-- reference: command ${name} -->`));
    if (missing)
      throw new Error(
        `docs/reference/cli.md needs a section "## ${missing.name}" with the two lines <!-- reference: command ${missing.name} --> and <!-- /reference -->.`,
      );
    return table(
      ['command', ''],
      commands.map(({ name, summary }) => [`[${code(name)}](#${name})`, summary]),
    );
  },
  async command([name = '']) {
    const entry = commands.find((candidate) => candidate.name === name);
    if (!entry) throw new Error(`There is no command ${name}.`);
    const { description, words, options, examples } = await entry.load();
    const usage = `sd ${name}${words === undefined ? '' : ` ${words}`}${Object.keys(options).length > 0 ? ' [options]' : ''}`;
    const rows = Object.values(options).map(described);
    return [
      description,
      `\`\`\`sh\n${[usage, ...examples].join('\n')}\n\`\`\``,
      ...(rows.length > 0 ? [table(['option', 'default', ''], rows)] : []),
    ].join('\n\n');
  },
  'common-options': () => table(['option', 'default', ''], Object.values(commonOptions).map(described)),
  'exit-codes': () => {
    const meanings = commentsBefore('src/cli/exit-codes.ts', /(\w+): \d+,/);
    return table(
      ['code', 'meaning'],
      Object.entries(exitCodes).map(([name, value]) => [String(value), meanings.get(name) ?? 'Success.']),
    );
  },
  'error-codes': () =>
    table(
      ['code', 'meaning'],
      [...commentsBefore('src/errors.ts', /\| '([a-z-]+)'/)].map(([name, text]) => [code(name), text]),
    ),
};
