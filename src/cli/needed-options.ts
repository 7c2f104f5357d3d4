/** Options that have an effect only together with others, or only without them: rules in the table of options, checked in one place. */

import { type Option, type OptionTable, UsageError } from './options.ts';

/** The option, refused without one of `others`: a flag such as `--refiner`, or a flag with its values, `--noise a1111-cpu|a1111-gpu`. */
export function needing<O extends Option<unknown>>(option: O, ...others: readonly string[]): O {
  return { ...option, needs: [...(option.needs ?? []), ...others] };
}

/** The option, refused together with one of `others`. */
export function excluding<O extends Option<unknown>>(option: O, ...others: readonly string[]): O {
  return { ...option, excludes: others };
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== false;

/** `--noise`, its option, and the values that count: none means any. */
function rule(text: string, options: OptionTable) {
  const [flag = '', values] = text.split(' ');
  const found = Object.entries(options).find(([, { flags }]) => flags.includes(flag));
  return found && { key: found[0], option: found[1], flag, values: values?.split('|') ?? [] };
}

/**
 * Throws `UsageError` for an option of `given` without what it needs, or with what it excludes. `all` are the values of all sources. A rule
 * about options that the command does not have does not count.
 */
export function checkTogether(
  options: OptionTable,
  given: Readonly<Record<string, unknown>>,
  all: Readonly<Record<string, unknown>>,
): void {
  const applies = ({ key, values }: { readonly key: string; readonly values: readonly string[] }): boolean =>
    isGiven(all[key]) && (values.length === 0 || values.includes(String(all[key] as string)));
  const rules = (texts: readonly string[] = []) =>
    texts.map((text) => rule(text, options)).filter((found) => found !== undefined);
  for (const [key, { flags, needs, excludes }] of Object.entries(options)) {
    if (!isGiven(given[key])) continue;
    const needed = rules(needs);
    if (needed.length > 0 && !needed.some(applies)) {
      const words = needed.map(({ flag, option, values }) =>
        [flag, values.length > 0 ? oneOf(values) : (option.value ?? '')].join(' ').trim(),
      );
      throw new UsageError(`${flags[0]} needs ${oneOf(words)}.`);
    }
    const other = rules(excludes).find(applies);
    if (other)
      throw new UsageError(
        `${flags[0]} and ${other.flag}${other.values.length > 0 ? ` ${String(all[other.key])}` : ''} exclude each other; give one.`,
      );
  }
}

/** `a, b or c` */
const oneOf = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
