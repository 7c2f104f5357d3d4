/** Flags in one text, as a command line of another program has them: `--image_size 64 --class_cond True`. */

import { configError } from './validate.ts';

const truths: Readonly<Record<string, boolean>> = { true: true, True: true, false: false, False: false };

/** A flag's text as a truth value or a number. */
export const flagValue = (text: string): boolean | number => truths[text] ?? Number(text);

/** Names without dashes, and the text of each. Throws `config-invalid` where a flag has no value. */
export function flagPairs(text: string, program: string): readonly (readonly [name: string, value: string])[] {
  const words = text
    .trim()
    .split(/[\s=]+/)
    .filter((word) => word !== '');
  return Array.from({ length: Math.ceil(words.length / 2) }, (_, i) => {
    const [name = '', value] = words.slice(2 * i, 2 * i + 2);
    if (value === undefined || !name.startsWith('--'))
      throw configError(
        `The flags of ${program} are pairs such as --image_size 64; ${JSON.stringify(name)} is not the start of one.`,
      );
    return [name.slice(2), value] as const;
  });
}
