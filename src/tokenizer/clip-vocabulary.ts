/**
 * Vocabularies of CLIP's byte-level BPE.
 *
 * Tokens 0 to 255 are the bytes (in the order of `TOKEN_BYTES`), 256 to 511 the bytes at the end of a word, then one token a merge, then start
 * and end. A truncated vocabulary differs only in having fewer merges, so the number of rows of an embedding gives the number of merges.
 */

import { StableDiffusionError } from '../errors.ts';
import { BYTE_CHARACTERS, TOKEN_BYTES } from './byte-characters.ts';
import { type BytePairMerges, pairKey } from './byte-pair-encoding.ts';
import type { MergePairs } from './clip-merges.ts';

export interface TokenText {
  readonly bytes: readonly number[];
  readonly endsWord: boolean;
}

export interface ClipVocabulary extends BytePairMerges {
  /** Number of tokens, with start and end. */
  readonly size: number;
  readonly startId: number;
  readonly endId: number;
  /** Token of a symbol of the merges. */
  readonly tokenOf: (symbol: number) => number;
  /** The text of a token; undefined for special tokens and for invalid ids. */
  readonly textOf: (token: number) => TokenText | undefined;
}

export const END_OF_WORD = '</w>';
const BYTE_TOKENS = 512;
const SPECIAL_TOKENS = 2;

/** Symbols 0 to 511 are the bytes in either place. */
function byteSymbols(): Pick<BytePairMerges, 'bytes' | 'lastBytes'> {
  const bytes = new Uint16Array(256);
  for (const [token, byte] of TOKEN_BYTES.entries()) bytes[byte] = token;
  return { bytes, lastBytes: bytes.map((token) => token + 256) };
}

/**
 * The vocabulary of `rows` tokens: the first `rows` − 514 merges. More rows than all merges make are tokens somebody added (textual inversion):
 * no text encodes to them, and start and end stay where they were.
 */
export function vocabularyOfPairs(pairs: MergePairs, rows: number): ClipVocabulary {
  if (!Number.isInteger(rows) || rows < BYTE_TOKENS + SPECIAL_TOKENS) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A CLIP vocabulary of ${rows} tokens cannot be: 512 byte tokens and 2 special tokens are always there. Give the number of rows of the token embedding.`,
    );
  }
  const count = Math.min(rows - BYTE_TOKENS - SPECIAL_TOKENS, pairs.left.length);
  const ranks = new Map<number, number>();
  const merged = new Uint32Array(count);
  for (let rank = 0; rank < count; rank++) {
    ranks.set(pairKey(pairs.left[rank] ?? 0, pairs.right[rank] ?? 0), rank);
    merged[rank] = BYTE_TOKENS + rank;
  }
  const startId = BYTE_TOKENS + count;
  const textOf = (token: number): TokenText | undefined => {
    if (!Number.isInteger(token) || token < 0 || token >= startId) return undefined;
    const bytes: number[] = [];
    let endsWord = false;
    const collect = (symbol: number): void => {
      if (symbol >= BYTE_TOKENS) {
        collect(pairs.left[symbol - BYTE_TOKENS] ?? 0);
        collect(pairs.right[symbol - BYTE_TOKENS] ?? 0);
      } else {
        bytes.push(TOKEN_BYTES[symbol & 255] ?? 0);
        endsWord = symbol >= 256;
      }
    };
    collect(token);
    return { bytes, endsWord };
  };
  return {
    ...byteSymbols(),
    ranks,
    merged,
    size: Math.max(rows, startId + SPECIAL_TOKENS),
    startId,
    endId: startId + 1,
    tokenOf: (symbol) => symbol,
    textOf,
  };
}

export interface VocabularyFiles {
  /** Pairs of symbols, in the order of their rank. */
  readonly merges: readonly (readonly [string, string])[];
  /** Token of each symbol; by default the order of bytes, merges, start, end. */
  readonly tokens?: ReadonlyMap<string, number>;
  /** Names of the special tokens within `tokens`. */
  readonly start?: string;
  readonly end?: string;
  readonly unknown?: string;
}

/** The vocabulary of merges written as text, as in `merges.txt` and `vocab.json` of a Hugging Face folder. */
export function vocabularyOfFiles({
  merges,
  tokens,
  start = '<|startoftext|>',
  end = '<|endoftext|>',
  unknown = end,
}: VocabularyFiles): ClipVocabulary {
  const symbols = new Map<string, number>();
  const symbolOf = (text: string): number => {
    const known = symbols.get(text);
    if (known !== undefined) return known;
    symbols.set(text, symbols.size);
    return symbols.size - 1;
  };
  for (const suffix of ['', END_OF_WORD]) for (const character of BYTE_CHARACTERS) symbolOf(character + suffix);
  const names = tokens ?? defaultTokens(merges, start, end);

  const ranks = new Map<number, number>();
  const merged = new Uint32Array(merges.length);
  for (const [rank, [left, right]] of merges.entries()) {
    merged[rank] = symbolOf(left + right);
    ranks.set(pairKey(symbolOf(left), symbolOf(right)), rank);
  }

  const special = (name: string): number => {
    const token = names.get(name);
    if (token !== undefined) return token;
    throw new StableDiffusionError(
      'file-corrupt',
      `The tokenizer's vocabulary has no token ${name}, which its configuration names.`,
    );
  };
  const unknownId = special(unknown);
  const tokenOfSymbol = Array.from(symbols.keys(), (text) => names.get(text) ?? unknownId);
  const [startId, endId] = [special(start), special(end)];
  const textOfToken = new Map(Array.from(names, ([text, token]) => [token, text]));
  const byteOf = new Map(BYTE_CHARACTERS.map((character, token) => [character, TOKEN_BYTES[token] ?? 0]));
  return {
    ...byteSymbols(),
    ranks,
    merged,
    size: 1 + [...names.values()].reduce((largest, token) => Math.max(largest, token), 0),
    startId,
    endId,
    tokenOf: (symbol) => tokenOfSymbol[symbol] ?? unknownId,
    textOf: (token) => {
      const text = textOfToken.get(token);
      if (text === undefined || token === startId || token === endId) return undefined;
      const endsWord = text.endsWith(END_OF_WORD);
      const body = endsWord ? text.slice(0, -END_OF_WORD.length) : text;
      return { bytes: Array.from(body, (character) => byteOf.get(character) ?? 0x3f), endsWord };
    },
  };
}

function defaultTokens(merges: VocabularyFiles['merges'], start: string, end: string): Map<string, number> {
  const tokens = new Map<string, number>();
  let token = 0;
  for (const suffix of ['', END_OF_WORD])
    for (const character of BYTE_CHARACTERS) tokens.set(character + suffix, token++);
  for (const pair of merges) tokens.set(pair.join(''), token++);
  return tokens.set(start, token).set(end, token + 1);
}
