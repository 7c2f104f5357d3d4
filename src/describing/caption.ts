/** A sentence for a picture by BLIP, as A1111's "Interrogate CLIP" asks for it (modules/interrogate.py of v1.10.1). */

import type { Engine, Program } from '../engine/engine.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { clipTensor } from '../image/clip-image.ts';
import { type Image, toRgb } from '../image/image.ts';
import { resize } from '../image/resize.ts';
import type { CaptionNetwork } from '../models/describers/index.ts';
import { createAnnotator } from '../preprocessors/annotate.ts';
import { expectDType, int64, type Tensor } from '../tensor/tensor.ts';
import { createBertTokenizer } from '../tokenizer/bert-tokenizer.ts';
import { beamSearch } from './beam-search.ts';

export interface CaptionOptions {
  /** Sentences followed at the same time, 1 to 24. Default 1. */
  readonly beams?: number | undefined;
  /** Fewest tokens of the sentence, its beginning "a picture of" with them. Default 24. */
  readonly shortest?: number | undefined;
  /** Most tokens. Default 48. */
  readonly longest?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Captioner extends AsyncDisposable {
  /** Pixels of the square that it looks at. */
  readonly side: number;
  caption(image: Image, options?: CaptionOptions): Promise<string>;
}

/** A1111's defaults (`interrogate_clip_num_beams` and the like). */
export const captionDefaults = { beams: 1, shortest: 24, longest: 48 } as const;

/** What every sentence begins with; the caption is what follows. */
const beginning = 'a picture of ';

/** `clean_up_tokenization` of transformers: no space before a stop, and short forms of English joined. */
const tidied = (text: string): string =>
  text
    .replace(/ ([.?!,])/g, '$1')
    .replaceAll(" ' ", "'")
    .replace(/ (n't|'m|'s|'ve|'re)/g, '$1');

/**
 * The network on the engine. `vocabulary` is bert-base-uncased's `vocab.txt`. Its weights are closed when it is disposed of.
 * Throws `file-corrupt` and `weights-mismatch` for another vocabulary.
 */
export function createCaptioner(engine: Engine, network: CaptionNetwork, vocabulary: string): Captioner {
  const tokenizer = createBertTokenizer({ vocab: vocabulary });
  // The tokens that start a sentence and a question follow the vocabulary, where its file does not have them.
  const first = network.tokens - 2;
  if (tokenizer.vocabSize !== first && tokenizer.vocabSize !== network.tokens)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${network.weights.label} knows ${network.tokens} tokens, and its vocab.txt has ${tokenizer.vocabSize} lines, not ${first}. Give bert-base-uncased's vocab.txt.`,
    );
  const start = [first, ...tokenizer.encode(beginning)];
  const pictures = createAnnotator(engine, {
    kind: network.title,
    title: network.title,
    weights: network.weights,
    trace: network.traceImage,
  });
  let texts: Promise<Program> | undefined;
  const { side } = network;
  return {
    side,
    async caption(image, { beams, shortest, longest, signal } = {}) {
      throwIfAborted(signal);
      const memory = await pictures.run(clipTensor([resize(toRgb(image), side, side, 'bicubic')], side), signal);
      texts ??= engine.compile(network.traceText(), network.weights);
      const program = await texts;
      const next = async (sentences: readonly (readonly number[])[]): Promise<Float32Array[]> => {
        const ids = int64([sentences.length, sentences[0]?.length ?? 0], sentences.flat());
        const { logits } = await program.run({ ids, ...memory }, { signal });
        const { data } = expectDType(logits as Tensor, 'float32', 'logits');
        return sentences.map((_, i) => data.subarray(i * network.tokens, (i + 1) * network.tokens));
      };
      const ids = await beamSearch(next, {
        start,
        end: tokenizer.endId,
        beams: beams ?? captionDefaults.beams,
        shortest: shortest ?? captionDefaults.shortest,
        longest: Math.min(longest ?? captionDefaults.longest, network.longest),
      });
      return tidied(tokenizer.decode(ids.slice(1))).slice(beginning.length);
    },
    async [Symbol.asyncDispose]() {
      await texts?.then(
        (program) => program.dispose(),
        () => {},
      );
      await pictures[Symbol.asyncDispose]();
    },
  };
}
