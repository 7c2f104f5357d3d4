/**
 * Several conditioners as one (sgm's `GeneralConditioner`): contexts joined along their width, vectors one behind the other. Each text
 * encoder has its own tokenizer; a prompt syntax's sequences of tokens are given to all of them.
 */

import type { ComposedConfig, SizesConfig } from '../config/composed-conditioner.ts';
import { conditionerParts } from '../config/conditioner-parts.ts';
import type { ClipTextConfig } from '../config/network-config.ts';
import { concatenate } from '../tensor/arithmetic.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { expectDType, type Tensor } from '../tensor/tensor.ts';
import { clip } from './clip.ts';
import type { Conditioner, ConditionerContext, ConditionerKind, TextEncoding, Tokenizer } from './conditioner.ts';
import { sizes } from './sizes.ts';

function embedderOf(config: ClipTextConfig | SizesConfig, part: string, context: ConditionerContext): Conditioner {
  return config.kind === 'sizes' ? sizes.create(config, part, context) : clip.create(config, part, context);
}

/** Contexts along their last axis, everything else along the axis behind the batch. */
function joinedInputs(parts: readonly NetworkInputs[]): NetworkInputs {
  const names = new Set(parts.flatMap((part) => Object.keys(part)));
  return Object.fromEntries(
    [...names].map((name) => {
      const [first, ...rest] = parts
        .flatMap((part) => part[name] ?? [])
        .map((value) => expectDType(value, 'float32', name));
      return [name, concatenate([first as Tensor<'float32'>, ...rest], name === 'context' ? 2 : 1)];
    }),
  );
}

/** Zeroes the rows selected by `rows`, in the first `width` elements of each item. */
function zeroed(value: Tensor, rows: readonly boolean[], width = Number.POSITIVE_INFINITY): Tensor<'float32'> {
  const { shape, data } = expectDType(value, 'float32');
  const size = data.length / (shape[0] ?? 1);
  const copy = data.slice();
  for (const [i, isZero] of rows.entries()) if (isZero) copy.fill(0, i * size, i * size + Math.min(size, width));
  return { dtype: 'float32', shape, data: copy };
}

export const composed: ConditionerKind<ComposedConfig> = {
  takes: 'texts',
  async tokenizers(config, files) {
    const tokenizers = new Map<string, Tokenizer>();
    for (const [part, text] of conditionerParts(config)) {
      if (text.kind !== 'clip_text') continue;
      for (const [name, tokenizer] of (await clip.tokenizers?.(text, files, part)) ?? [])
        tokenizers.set(name, tokenizer);
    }
    return tokenizers;
  },
  create(config, _, context) {
    const parts = [...conditionerParts(config).keys()];
    const embedders = config.embedders.map((embedder) =>
      embedderOf(embedder, embedder.kind === 'sizes' ? '' : (parts.shift() ?? ''), context),
    );
    const encodings = embedders.flatMap(({ text }) => text ?? []);
    const [first] = encodings;
    const vectors = embedders.filter(({ takes }) => takes === 'nothing');
    const vectorWidth = config.embedders.reduce(
      (sum, one) => sum + (one.kind === 'clip_text' && one.pooled_output ? one.projection_dim : 0),
      0,
    );
    const text: TextEncoding | undefined = first && {
      ...first,
      encodeIds: async (rows, options) =>
        (await Promise.all(encodings.map((one) => one.encodeIds(rows, options)))).flat(),
    };
    return {
      takes: 'texts',
      empty: { texts: [''] },
      text,
      readsSecondTexts: encodings.length > 1,
      async encode(given, options) {
        const all: NetworkInputs[] = [];
        for (const one of embedders) {
          const isSecond = one.text !== undefined && one.text !== first;
          const texts = isSecond ? (given.secondTexts ?? given.texts) : given.texts;
          all.push(await one.encode({ ...given, texts }, options));
        }
        return joinedInputs(all);
      },
      async join(encoded, given) {
        const others = await Promise.all(vectors.map((one) => one.encode(given)));
        return joinedInputs([...encoded, ...others]);
      },
      zeroEmpty: config.zero_empty
        ? ({ context: tokens, y, ...others }, rows) => ({
            ...others,
            ...(tokens && { context: zeroed(tokens, rows) }),
            ...(y && { y: zeroed(y, rows, vectorWidth) }),
          })
        : undefined,
    };
  },
};
