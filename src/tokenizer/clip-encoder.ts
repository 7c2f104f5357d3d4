/** Builds a tokenizer from a vocabulary and a profile: words are encoded by BPE and cached, sequences are bounded and padded. */

import { StableDiffusionError } from '../errors.ts';
import { encodeWord } from './byte-pair-encoding.ts';
import { CLIP_PROFILES, type ClipProfile, END_OF_TEXT, START_OF_TEXT } from './clip-text.ts';
import type { ClipVocabulary } from './clip-vocabulary.ts';

export interface TokenizeOptions {
  /** Tokens of the result, at least 2. Default 77, the context of CLIP. */
  readonly length?: number;
  /** Default: the tokenizer's `padId`. */
  readonly padId?: number;
}

export interface TokenizedText {
  /** Exactly `length` tokens: start, text, end, padding. */
  readonly ids: number[];
  /** Number of ids before the padding. */
  readonly count: number;
  /** True if text was cut. The last token is still the end token. */
  readonly truncated: boolean;
}

/** A word with its own tokens (`withPlaceholders`). */
export interface Placeholder {
  readonly token: string;
  readonly ids: readonly number[];
}

export interface ClipTokenizer {
  readonly vocabSize: number;
  readonly startId: number;
  readonly endId: number;
  readonly padId: number;
  /** Default length of `tokenize`. */
  readonly length: number;
  readonly profile: ClipProfile;
  /** Words with their own tokens (`withPlaceholders`). */
  readonly placeholders: readonly Placeholder[];
  /** Tokens of a text of any length, without start and end. Never throws. */
  readonly encode: (text: string) => number[];
  /** A sequence for the text encoder. Throws `invalid-argument` for a length below 2. */
  readonly tokenize: (text: string, options?: TokenizeOptions) => TokenizedText;
  /** The text of tokens; special tokens and numbers that are none are left out, words are separated by one space. */
  readonly decode: (ids: Iterable<number>) => string;
}

export interface ClipTokenizerParts {
  readonly vocabulary: ClipVocabulary;
  readonly profile: ClipProfile;
  readonly padId: number;
  readonly length: number;
}

/** Start, the tokens of a text as far as there is room, end, padding. Throws `invalid-argument` for a length below 2. */
export function textSequence(
  textIds: readonly number[],
  { startId, endId, padId, length: defaultLength }: Pick<ClipTokenizer, 'startId' | 'endId' | 'padId' | 'length'>,
  { length = defaultLength, padId: pad = padId }: TokenizeOptions = {},
): TokenizedText {
  if (!Number.isInteger(length) || length < 2) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A sequence of ${length} tokens has no room for start and end. The length must be an integer of at least 2.`,
    );
  }
  const kept = textIds.slice(0, length - 2);
  const ids = [startId, ...kept, endId];
  const count = ids.length;
  while (ids.length < length) ids.push(pad);
  return { ids, count, truncated: kept.length < textIds.length };
}

const CACHED_WORDS = 8192;
const CACHED_WORD_LENGTH = 64;

export function buildClipTokenizer({
  vocabulary,
  profile,
  padId,
  length: defaultLength,
}: ClipTokenizerParts): ClipTokenizer {
  const utf8 = new TextEncoder();
  const { startId, endId } = vocabulary;
  const splitWords = CLIP_PROFILES[profile];
  if (splitWords === undefined) {
    throw new StableDiffusionError(
      'invalid-argument',
      `Unknown tokenizer profile ${String(profile)}. Choose ${Object.keys(CLIP_PROFILES).join(', ')}.`,
    );
  }

  const cache = new Map<string, readonly number[]>();
  const encodeCached = (word: string): readonly number[] => {
    const known = cache.get(word);
    if (known) return known;
    const ids = encodeWord(utf8.encode(word), vocabulary).map(vocabulary.tokenOf);
    if (word.length <= CACHED_WORD_LENGTH) {
      if (cache.size >= CACHED_WORDS) cache.clear();
      cache.set(word, ids);
    }
    return ids;
  };

  const encode = (text: string): number[] => {
    const ids: number[] = [];
    for (const word of splitWords(text)) {
      if (word === START_OF_TEXT) ids.push(startId);
      else if (word === END_OF_TEXT) ids.push(endId);
      else for (const id of encodeCached(word)) ids.push(id);
    }
    return ids;
  };

  return {
    vocabSize: vocabulary.size,
    startId,
    endId,
    padId,
    length: defaultLength,
    profile,
    placeholders: [],
    encode,
    tokenize: (text, options) => textSequence(encode(text), { startId, endId, padId, length: defaultLength }, options),
    decode: (ids) => {
      const bytes: number[] = [];
      for (const id of ids) {
        const token = vocabulary.textOf(id);
        if (!token) continue;
        for (const byte of token.bytes) bytes.push(byte);
        if (token.endsWord) bytes.push(0x20);
      }
      return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes)).trimEnd();
    },
  };
}
