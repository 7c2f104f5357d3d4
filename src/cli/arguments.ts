/** Replaces every alias on a command line by the option's first flag, the only one that the argument parser knows. */

import type { Option, OptionTable } from './options.ts';

/** `--ddim_steps` and `--ddim-steps` are one. */
export function plainFlag(flag: string): string {
  return flag.startsWith('--') ? `--${flag.slice(2).replaceAll('_', '-')}` : flag;
}

/** The arguments with flags in their first form. Option values and everything after `--` stay unchanged. */
export function normalizeArguments(words: readonly string[], options: OptionTable): string[] {
  const byFlag = new Map<string, Option<unknown>>();
  for (const option of Object.values(options)) for (const flag of option.flags) byFlag.set(plainFlag(flag), option);
  const out: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    if (word === '--') return [...out, ...words.slice(i)];
    const [given = '', ...rest] = word.startsWith('--') ? word.split('=') : [word];
    const name = plainFlag(given);
    const option = word.startsWith('-') ? byFlag.get(name) : undefined;
    const flag = option ? (option.flags[0] as string) : given;
    out.push([flag, ...rest].join('='));
    const next = words[i + 1];
    if (option?.value !== undefined && rest.length === 0 && next !== undefined) {
      out.push(next);
      i++;
    }
  }
  return out;
}

/** The flag, as written on the command line, that gave an option this value: the alias a person typed, for error messages. */
export function givenFlag(words: readonly string[], option: Option<unknown>, value: string): string {
  const [first = ''] = option.flags;
  const names = new Set(option.flags.map(plainFlag));
  const given = words.find((word, i) => {
    const [flag = '', ...rest] = word.startsWith('--') ? word.split('=') : [word];
    return names.has(plainFlag(flag)) && (rest.length > 0 ? rest.join('=') : words[i + 1]) === value;
  });
  return given?.split('=')[0] ?? first;
}
