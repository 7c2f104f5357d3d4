/** Options by name: a mistyped one is refused, and not dropped. */

import { fieldsOf } from '../arguments.ts';
import { StableDiffusionError } from '../errors.ts';
import { nearNames } from './near-names.ts';

/** Every option of `T`, by name. */
export type OptionNames<T> = Readonly<Record<keyof T & string, true>>;

/** Throws `invalid-argument` for options that are no object, and for one that `of` does not have. */
export function checkOptions<T extends object>(options: T, known: OptionNames<T>, of: string): void {
  const names = Object.keys(known);
  for (const name of Object.keys(fieldsOf(options, `The options of ${of}`, 'an object'))) {
    if (Object.hasOwn(known, name)) continue;
    const [near] = nearNames(name, names, 1);
    const help = near === undefined ? `The options are ${names.join(', ')}.` : `Did you mean ${near}?`;
    throw new StableDiffusionError('invalid-argument', `Unknown option ${JSON.stringify(name)} of ${of}. ${help}`);
  }
}
