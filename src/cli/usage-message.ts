/** The argument parser's errors in our words: one line that names what is wrong and where to read on. */

import type { CommanderError } from 'commander';
import type { OptionTable } from './options.ts';

/** The part in quotes of the parser's message: `unknown option '--stepz'`. */
const quoted = (message: string): string => /'([^']*)'/.exec(message)?.[1] ?? '';

/** The parser's suggestion, such as `Did you mean --steps? `; empty without one. */
function suggestion(message: string): string {
  const found = /\((Did you mean [^()?]*\?)\)/.exec(message)?.[1];
  return found === undefined ? '' : ` ${found}`;
}

/** The parser knows an option by its first flag; people know it by any. */
function optionNames(shown: string, options: OptionTable): string {
  const flag = (shown.split(' ', 1)[0] ?? '').replace(/,$/, '');
  const option = Object.values(options).find(({ flags }) => flags.includes(flag));
  return option ? option.flags.join(' or ') : flag;
}

const messages: Readonly<Record<string, (message: string, options: OptionTable) => string>> = {
  'commander.unknownOption': (message) => `Unknown option ${JSON.stringify(quoted(message))}.${suggestion(message)}`,
  'commander.unknownCommand': (message) => `Unknown command ${JSON.stringify(quoted(message))}.${suggestion(message)}`,
  'commander.optionMissingArgument': (message, options) => `${optionNames(quoted(message), options)} needs a value.`,
  'commander.missingArgument': (message) => `The argument <${quoted(message)}> is required.`,
  'commander.excessArguments': (message) => {
    const [, expected = '', got = ''] = /Expected (\d+) arguments? but got (\d+)/.exec(message) ?? [];
    return `Too many arguments: expected ${expected}, got ${got}.`;
  },
};

/** `program` is `sd` or `sd COMMAND`. */
export function usageMessage(error: CommanderError, program: string, options: OptionTable): string {
  const text = error.message.replace(/^error: /, '');
  const message = Object.hasOwn(messages, error.code) ? messages[error.code]?.(text, options) : undefined;
  return `${message ?? text} See ${program} --help.`;
}
