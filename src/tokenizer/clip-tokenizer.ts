/**
 * CLIP's tokenizer: byte-level BPE (https://github.com/openai/CLIP, clip/simple_tokenizer.py), exact to the id with the implementations
 * listed in `ClipProfile`.
 */

import { StableDiffusionError } from '../errors.ts';
import { clipMergePairs } from './clip-merges.ts';
import { buildClipTokenizer, type ClipTokenizer } from './clip-encoder.ts';
import type { ClipProfile } from './clip-text.ts';
import { vocabularyOfPairs } from './clip-vocabulary.ts';

export type { ClipTokenizer, TokenizeOptions, TokenizedText } from './clip-encoder.ts';
export type { ClipProfile } from './clip-text.ts';

export interface ClipTokenizerOptions {
  /** Rows of the token embedding, at least 514; fewer than 49,408 are a truncated vocabulary. Default 49,408. */
  readonly vocabSize?: number;
  /** Text normalisation. Default `openai`, the one that CLIP was trained with. */
  readonly profile?: ClipProfile;
  /** Padding of `tokenize`: the end token (Stable Diffusion v1, the default), 0 (OpenAI's `clip.tokenize`), or a token. */
  readonly pad?: 'end' | 'zero' | number;
}

/** A tokenizer with the merges that CLIP was trained with. Takes some 20 ms. Throws `invalid-argument`. */
export function createClipTokenizer({
  vocabSize = 49_408,
  profile = 'openai',
  pad = 'end',
}: ClipTokenizerOptions = {}): ClipTokenizer {
  const vocabulary = vocabularyOfPairs(clipMergePairs(), vocabSize);
  if (typeof pad === 'number' && !(Number.isInteger(pad) && pad >= 0 && pad < vocabulary.size)) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The padding token ${pad} is not one of the ${vocabulary.size} tokens.`,
    );
  }
  const padId = pad === 'end' ? vocabulary.endId : pad === 'zero' ? 0 : pad;
  return buildClipTokenizer({ vocabulary, profile, padId, length: 77 });
}
