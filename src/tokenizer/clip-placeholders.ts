/**
 * Placeholders of textual inversion in a tokenizer: words of a prompt that stand for given ids (added tokens; `maybe_convert_prompt` of
 * diffusers' TextualInversionLoaderMixin). They are found in the original text, in any case, and not
 * inside of longer words.
 */

import { StableDiffusionError } from '../errors.ts';
import { type ClipTokenizer, type Placeholder, textSequence } from './clip-encoder.ts';

const wordCharacter = '[\\p{L}\\p{N}_]';

/** Matches the token as a whole word. */
function pattern(token: string): string {
  // A space in a name is any white space in the prompt, as A1111 compares tokens.
  const escaped = token.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&').replace(/\s+/g, '\\s+');
  const starts = new RegExp(`^${wordCharacter}`, 'u').test(token);
  const ends = new RegExp(`${wordCharacter}$`, 'u').test(token);
  return `${starts ? `(?<!${wordCharacter})` : ''}${escaped}${ends ? `(?!${wordCharacter})` : ''}`;
}

/** What two spellings of a placeholder share. */
const keyOf = (token: string): string => token.toLowerCase().replace(/\s+/g, ' ');

/** A tokenizer with placeholders. If several match, the longest wins. Throws `invalid-argument` for an empty one. */
export function withPlaceholders(tokenizer: ClipTokenizer, placeholders: readonly Placeholder[]): ClipTokenizer {
  if (placeholders.length === 0) return tokenizer;
  if (placeholders.some(({ token }) => token.trim() === ''))
    throw new StableDiffusionError('invalid-argument', 'A placeholder cannot be empty.');
  const idsOf = new Map(placeholders.map(({ token, ids }) => [keyOf(token), ids]));
  const tokenOf = new Map(placeholders.flatMap(({ token, ids }) => ids.map((id, i) => [id, i === 0 ? token : ''])));
  const longestFirst = placeholders.map(({ token }) => token).sort((a, b) => b.length - a.length);
  const split = new RegExp(`(${longestFirst.map(pattern).join('|')})`, 'giu');

  // Splitting by a pattern with one group gives text and placeholders in turn.
  const encode = (text: string): number[] =>
    text
      .split(split)
      .flatMap((piece, i) => (i % 2 === 1 ? [...(idsOf.get(keyOf(piece)) ?? [])] : tokenizer.encode(piece)));
  return {
    ...tokenizer,
    vocabSize: placeholders.reduce(
      (size, { ids }) => ids.reduce((most, id) => Math.max(most, id + 1), size),
      tokenizer.vocabSize,
    ),
    placeholders: [...tokenizer.placeholders, ...placeholders],
    encode,
    tokenize: (text, options) => textSequence(encode(text), tokenizer, options),
    decode(ids) {
      const pieces: string[] = [];
      let plain: number[] = [];
      const flush = (): void => {
        if (plain.length > 0) pieces.push(tokenizer.decode(plain));
        plain = [];
      };
      for (const id of ids) {
        const token = tokenOf.get(id);
        if (token === undefined) plain.push(id);
        else {
          flush();
          pieces.push(token);
        }
      }
      flush();
      return pieces.filter((piece) => piece !== '').join(' ');
    },
  };
}
