/**
 * BERT's wordpiece tokenizer (https://github.com/google-research/bert, tokenization.py), as the text encoder of latent diffusion
 * (`BERTTokenizer` of ldm/modules/encoders/modules.py) uses it: `bert-base-uncased`, sequences of 77.
 */

import { StableDiffusionError } from '../errors.ts';
import { type BertProfile, splitBertWords } from './bert-text.ts';

export type { BertProfile } from './bert-text.ts';

export interface BertTokenizerOptions {
  /** Content of `vocab.txt`: one token a line, the first being token 0. Must hold [PAD], [UNK], [CLS] and [SEP]. */
  readonly vocab: string;
  /** Default length of `tokenize`. Default 77. */
  readonly length?: number;
  /** Default true, for the uncased models. */
  readonly lowerCase?: boolean;
  /** Default `fast`, as latent diffusion. */
  readonly profile?: BertProfile;
}

export interface BertTokenizer {
  readonly vocabSize: number;
  readonly startId: number;
  readonly endId: number;
  readonly padId: number;
  readonly unknownId: number;
  readonly length: number;
  /** Tokens of a text of any length, without [CLS] and [SEP]. Never throws. */
  readonly encode: (text: string) => number[];
  /** [CLS], the text, [SEP], and [PAD] up to `length` tokens. Throws `invalid-argument` for a length below 2. */
  readonly tokenize: (
    text: string,
    options?: { readonly length?: number },
  ) => { ids: number[]; count: number; truncated: boolean };
  /** The tokens' text, pieces of a word joined; [CLS], [SEP] and [PAD] are left out. */
  readonly decode: (ids: Iterable<number>) => string;
}

const SPECIALS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
/** Written in a text, these are the special tokens themselves. */
const SPECIAL_IN_TEXT = /(\[(?:PAD|UNK|CLS|SEP|MASK)\])/;
/** Longer words are unknown as a whole. */
const MAX_WORD = 100;

/** Throws `file-corrupt` where the vocabulary lacks a special token. */
export function createBertTokenizer({
  vocab,
  length: defaultLength = 77,
  lowerCase = true,
  profile = 'fast',
}: BertTokenizerOptions): BertTokenizer {
  const lines = vocab.replace(/\r?\n$/, '').split(/\r?\n/);
  const tokens = new Map(lines.map((token, id) => [token, id]));
  const special = (name: string): number => {
    const id = tokens.get(name);
    if (id === undefined) throw new StableDiffusionError('file-corrupt', `The BERT vocabulary has no token ${name}.`);
    return id;
  };
  const [padId, unknownId, startId, endId] = [special('[PAD]'), special('[UNK]'), special('[CLS]'), special('[SEP]')];

  const encodeWord = (word: string): number[] => {
    const known = tokens.get(word);
    if (known !== undefined && word.length <= MAX_WORD) return [known];
    const characters = Array.from(word);
    if (characters.length > MAX_WORD) return [unknownId];
    const ids: number[] = [];
    for (let start = 0; start < characters.length; ) {
      let end = characters.length;
      let id: number | undefined;
      for (; end > start; end--) {
        id = tokens.get((start > 0 ? '##' : '') + characters.slice(start, end).join(''));
        if (id !== undefined) break;
      }
      if (id === undefined) return [unknownId];
      ids.push(id);
      start = end;
    }
    return ids;
  };

  const encode = (text: string): number[] =>
    text.split(SPECIAL_IN_TEXT).flatMap((part, i) => {
      const id = i % 2 === 1 ? tokens.get(part) : undefined;
      return id === undefined ? splitBertWords(part, { profile, lowerCase }).flatMap(encodeWord) : [id];
    });

  return {
    vocabSize: lines.length,
    startId,
    endId,
    padId,
    unknownId,
    length: defaultLength,
    encode,
    tokenize: (text, { length = defaultLength } = {}) => {
      if (!Number.isInteger(length) || length < 2) {
        throw new StableDiffusionError(
          'invalid-argument',
          `A sequence of ${length} tokens has no room for [CLS] and [SEP]. The length must be an integer of at least 2.`,
        );
      }
      const textIds = encode(text);
      const kept = textIds.slice(0, length - 2);
      const ids = [startId, ...kept, endId];
      const count = ids.length;
      while (ids.length < length) ids.push(padId);
      return { ids, count, truncated: kept.length < textIds.length };
    },
    decode: (ids) => {
      const pieces = Array.from(ids, (id) => lines[id] ?? '').filter(
        (piece) => piece !== '' && (!SPECIALS.includes(piece) || piece === '[UNK]'),
      );
      return pieces.join(' ').replaceAll(' ##', '');
    },
  };
}
