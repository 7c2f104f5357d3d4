/** A1111's prompt matrix (scripts/prompt_matrix.py, v1.10.1): every combination of the parts of a prompt after its first `|`. */

import { StableDiffusionError } from '../../errors.ts';
import { withoutEnds } from '../../prompt/strip.ts';

export interface MatrixOptions {
  /** The chosen parts come before the first one. */
  readonly atStart?: boolean;
  /** Between parts. Default ", ". */
  readonly delimiter?: string;
}

/** Most parts: 1024 pictures. */
const mostParts = 10;

/** The prompts, in the order of A1111's grid, and the parts that its legend shows. Throws `too-large`. */
export function promptMatrix(
  prompt: string,
  { atStart = false, delimiter = ', ' }: MatrixOptions = {},
): { readonly prompts: readonly string[]; readonly parts: readonly string[] } {
  const [first = '', ...parts] = prompt.split('|');
  if (parts.length > mostParts)
    throw new StableDiffusionError(
      'too-large',
      `A prompt matrix has at most ${mostParts} parts, and there are ${parts.length}.`,
    );
  const trimmed = parts.map((part) => withoutEnds(part.trim(), (character) => character === ','));
  const prompts = Array.from({ length: 2 ** parts.length }, (_, chosen) => {
    const own = trimmed.filter((_part, i) => Math.floor(chosen / 2 ** i) % 2 === 1);
    return (atStart ? [...own, first] : [first, ...own]).join(delimiter);
  });
  return { prompts, parts };
}
