/** The words of a command line with every alias replaced by the option's first flag, which is the one that the parser knows. */

import type { Option, OptionTable } from './options.ts';

/** `--ddim_steps` and `--ddim-steps` are one. */
export function plainFlag(flag: string): string {
  return flag.startsWith('--') ? `--${flag.slice(2).replaceAll('_', '-')}` : flag;
}

/** Words as given, flags in their first form. What follows `--`, and an option's value, stays as it is. */
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
