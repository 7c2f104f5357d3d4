/** Shared parts of text conditioners: texts to token ids, and padding as the encoder was trained with. */

import { StableDiffusionError } from '../errors.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { int64, type Tensor } from '../tensor/tensor.ts';
import type { Conditioner, ConditionerContext, EncodeOptions, TextEncoding, Tokenizer } from './conditioner.ts';

/** Rows of ids as a tensor, int64 [n, tokens]. */
export function idTensor(rows: readonly (readonly number[])[]): Tensor<'int64'> {
  return int64([rows.length, rows[0]?.length ?? 0], rows.flat());
}

/** The ids with the tokenizer's padding behind the first end token. */
export function padded(ids: readonly number[], tokenizer: Tokenizer): readonly number[] {
  if (!('padId' in tokenizer) || tokenizer.padId === tokenizer.endId) return ids;
  const end = ids.indexOf(tokenizer.endId);
  return end < 0 ? ids : ids.map((id, i) => (i > end ? tokenizer.padId : id));
}

export interface TextConditionerOptions {
  readonly part: string;
  readonly context: ConditionerContext;
  /** Tokens of one sequence. */
  readonly length: number;
  readonly perToken: boolean;
  /** What becomes of a text before it is tokenized. Default: nothing. */
  readonly prepare?: (text: string, options: EncodeOptions) => string | Promise<string>;
  /** Ids int64 [n, tokens] → the inputs. */
  readonly encode: (ids: Tensor<'int64'>, options: EncodeOptions) => Promise<NetworkInputs>;
}

/** A conditioner with one text encoder. */
export function textConditioner(options: TextConditionerOptions): Conditioner {
  const { part, context, length, perToken, prepare = (text) => text, encode } = options;
  const tokenizer = context.tokenizers.get(part);
  const text: TextEncoding | undefined = tokenizer && {
    tokenizer,
    length,
    perToken,
    encodeIds: async (rows, options = {}) => [
      await encode(idTensor(rows.map((ids) => padded(ids, tokenizer))), options),
    ],
  };
  return {
    takes: 'texts',
    empty: { texts: [''] },
    text,
    async encode({ texts }, settings = {}) {
      if (!text)
        throw new StableDiffusionError(
          'invalid-argument',
          `${context.label} takes prompts, but has no tokenizer. Put the tokenizer's files next to the model.`,
        );
      if (!texts)
        throw new StableDiffusionError('invalid-argument', `${context.label} takes prompts, and none was given.`);
      const prepared = await Promise.all(texts.map((prompt) => prepare(prompt, settings)));
      const rows = prepared.map((prompt) => [...text.tokenizer.tokenize(prompt, { length }).ids]);
      return encode(idTensor(rows), settings);
    },
    join: ([inputs = {}]) => inputs,
  };
}
