/** Emphasis in A1111's prompts: `(word)`, `((word))`, `[word]`, `(word:1.3)` and BREAK (`parse_prompt_attention`, modules/prompt_parser.py, v1.10.1). */

import { StableDiffusionError } from '../errors.ts';
import { PYTHON_SPACE } from '../tokenizer/unicode-text.ts';
import { pythonFloat } from './python-number.ts';
import { splitAtWord } from './words.ts';

/** A piece of a prompt and how much its tokens count; a BREAK is the text `BREAK` with the weight -1. */
export type WeightedText = readonly [text: string, weight: number];

/** A bracket is worth this much, or its inverse. */
const step = 1.1;
/** Brackets that are open at once; more are a slip, or an attack. */
const deepest = 500;

const space = `[${PYTHON_SPACE}]*`;
const tokens = new RegExp(
  `\\\\[()[\\]\\\\]|\\\\|\\(|\\[|:${space}([+-]?[.\\p{Nd}]+)${space}\\)|\\)|\\]|[^\\\\()[\\]:]+|:`,
  'gu',
);

/**
 * The pieces of a prompt with their weights, neighbours of one weight joined. A bracket that is not closed counts to the end; one that was
 * not opened is text; a backslash makes a bracket text.
 * @throws `invalid-argument` for a weight that is not a number, as in `(word:1.2.3)`; `too-large` for too many open brackets
 */
export function parsePromptAttention(prompt: string): WeightedText[] {
  const pieces: [text: string, weight: number][] = [];
  const round: number[] = [];
  const square: number[] = [];
  const multiply = (start = 0, factor = 1): void => {
    for (let i = start; i < pieces.length; i++) (pieces[i] as [string, number])[1] *= factor;
  };
  for (const [token, weight] of prompt.matchAll(tokens)) {
    if (token.startsWith('\\')) pieces.push([token.slice(1), 1]);
    else if (round.length + square.length > deepest)
      throw new StableDiffusionError(
        'too-large',
        `The prompt has more than ${deepest} brackets that are open at once.`,
      );
    else if (token === '(') round.push(pieces.length);
    else if (token === '[') square.push(pieces.length);
    else if (weight !== undefined && round.length > 0) multiply(round.pop(), numberOf(weight));
    else if (token === ')' && round.length > 0) multiply(round.pop(), step);
    else if (token === ']' && square.length > 0) multiply(square.pop(), 1 / step);
    else {
      for (const [i, part] of splitAtWord(token, 'BREAK', { trim: true }).entries()) {
        if (i > 0) pieces.push(['BREAK', -1]);
        pieces.push([part, 1]);
      }
    }
  }
  for (const start of round) multiply(start, step);
  for (const start of square) multiply(start, 1 / step);
  return joined(pieces);
}

function numberOf(weight: string): number {
  const value = pythonFloat(weight);
  if (Number.isNaN(value))
    throw new StableDiffusionError('invalid-argument', `The prompt has the weight ${weight}, which is not a number.`);
  return value;
}

/** One piece for each run of the same weight. */
function joined(pieces: readonly WeightedText[]): WeightedText[] {
  const runs: { readonly texts: string[]; readonly weight: number }[] = [];
  for (const [text, weight] of pieces) {
    const last = runs.at(-1);
    if (last?.weight === weight) last.texts.push(text);
    else runs.push({ texts: [text], weight });
  }
  return runs.length === 0 ? [['', 1]] : runs.map(({ texts, weight }): WeightedText => [texts.join(''), weight]);
}
