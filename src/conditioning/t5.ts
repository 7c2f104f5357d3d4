/** The condition of DeepFloyd IF: T5's encoder over 77 tokens. Padding is hidden from T5, and its rows are part of the result. */

import type { T5EncoderConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { int64, type Tensor } from '../tensor/tensor.ts';
import { lazyCleanCaption, lazySentencePieceTokenizer } from '../tokenizer/lazy-t5-text.ts';
import type { ConditionerKind } from './conditioner.ts';
import { textConditioner } from './text.ts';

/** 1 up to the end token, 0 for the padding behind it. */
function maskOf({ shape, data }: Tensor<'int64'>, endId: number): Tensor<'int64'> {
  const [rows = 0, tokens = 0] = shape;
  const mask = new Array<number>(data.length).fill(1);
  for (let row = 0; row < rows; row++) {
    const end = data.subarray(row * tokens, (row + 1) * tokens).indexOf(BigInt(endId));
    if (end >= 0) mask.fill(0, row * tokens + end + 1, (row + 1) * tokens);
  }
  return int64(shape, mask);
}

export const t5: ConditionerKind<T5EncoderConfig> = {
  takes: 'texts',
  async tokenizers(config, { sentencePiece: files = {} }, part) {
    const tokenizer = await lazySentencePieceTokenizer(files);
    if (!tokenizer) return new Map();
    if (tokenizer.vocabSize > config.vocab_size)
      throw new StableDiffusionError(
        'weights-mismatch',
        `The tokenizer has ${tokenizer.vocabSize} pieces, and the text encoder ${config.vocab_size} rows. They belong to different models.`,
      );
    return new Map([[part, tokenizer]]);
  },
  create(_, part, context) {
    const own = textConditioner({
      part,
      context,
      length: context.maxLength,
      perToken: true,
      prepare: (text, { cleanCaption: isCleaned }) => lazyCleanCaption(text, isCleaned),
      async encode(input_ids, { signal }) {
        const endId = context.tokenizers.get(part)?.endId ?? 1;
        const inputs = { input_ids, attention_mask: maskOf(input_ids, endId) };
        const { last_hidden_state: states } = await context.run(part, ['last_hidden_state'], inputs, signal);
        return { context: states as Tensor };
      },
    });
    return {
      ...own,
      readsSecondTexts: true,
      // The second text is the style: it is pooled in place of the first.
      async encode({ secondTexts, ...given }, options) {
        const encoded = await own.encode(given, options);
        if (!secondTexts) return encoded;
        const { context: style } = await own.encode({ texts: secondTexts }, options);
        return { ...encoded, style: style as Tensor };
      },
    };
  },
};
