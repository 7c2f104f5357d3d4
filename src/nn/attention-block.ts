/** Self-attention over the pixels of an image without conditioning (`openaimodel.AttentionBlock`), and pooling by attention (`AttentionPool2d`). */

import { StableDiffusionError } from '../errors.ts';
import { add, attention, chunk, concat, linear, mean, reshape, slice, transpose } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { fixedSize } from './fixed-size.ts';
import { groupNormLayer } from './norm.ts';
import { toImage, toTokens } from './tokens.ts';

/** A 1D convolution of kernel 1 over tokens [b, n, in] → [b, n, out]; its parameters are `weight` [out, in, 1] and `bias` [out]. */
export function pointwise(p: Params, x: Sym, out: number): Sym {
  const width = fixedSize(x, -1);
  return p.module(() => linear(x, reshape(p.get('weight', [out, width, 1]), [out, width]), p.get('bias', [out])));
}

/** Layout of the 3·c channels of q, k and v: ([q,k,v], head, d), or the legacy order (head, [q,k,v], d). */
export type QkvOrder = 'new' | 'legacy';

/**
 * `parts` tensors [b, n, out] of tokens [b, n, c], by one layer whose rows are in the legacy order. It is undone on the weights, which are
 * smaller: [heads, parts, d, ...] → [parts, heads, d, ...].
 */
export function legacyParts(p: Params, x: Sym, out: number, parts: number, heads: number): Sym[] {
  const c = fixedSize(x, -1);
  const weight = p.get('weight', [parts * out, c, 1]);
  const turned = transpose(reshape(weight, [heads, parts, out / heads, c]), [1, 0, 2, 3]);
  const bias = transpose(reshape(p.get('bias', [parts * out]), [heads, parts, out / heads]), [1, 0, 2]);
  return chunk(linear(x, reshape(turned, [parts * out, c]), reshape(bias, [parts * out])), -1, parts);
}

/** Queries, keys and values of tokens [b, n, c], each [b, n, c] with contiguous heads. */
export function queriesKeysValues(p: Params, x: Sym, heads: number, order: QkvOrder): [Sym, Sym, Sym] {
  const c = fixedSize(x, -1);
  const parts = order === 'new' ? chunk(pointwise(p, x, 3 * c), -1, 3) : legacyParts(p, x, c, 3, heads);
  return parts as [Sym, Sym, Sym];
}

export interface AttentionBlockOptions {
  readonly heads: number;
  readonly groups: number;
  readonly order: QkvOrder;
}

/** x [b, c, h, w] → the same shape. Throws `config-invalid` where the channels do not split into the heads. */
export function attentionBlock(p: Params, x: Sym, { heads, groups, order }: AttentionBlockOptions): Sym {
  const channels = fixedSize(x, 1);
  if (!(heads >= 1) || channels % heads !== 0)
    throw new StableDiffusionError(
      'config-invalid',
      `${p.path}: ${channels} channels do not split into ${heads} attention heads.`,
    );
  return p.module(() => {
    const tokens = toTokens(groupNormLayer(p.at('norm'), x, { groups, epsilon: 1e-5 }));
    const [q, k, v] = queriesKeysValues(p.at('qkv'), tokens, heads, order);
    const attended = attention(q, k, v, { heads });
    return add(x, toImage(pointwise(p.at('proj_out'), attended, channels), x));
  });
}

/** Attention of the mean token to all pixels (after CLIP's ResNets): x [b, c, side, side] → [b, out]. The positions fix the image's size. */
export function attentionPool(
  p: Params,
  x: Sym,
  options: { readonly heads: number; readonly side: number; readonly out: number },
): Sym {
  const { heads, side, out } = options;
  const c = fixedSize(x, 1);
  return p.module(() => {
    const pixels = toTokens(x);
    const positions = transpose(p.get('positional_embedding', [c, side * side + 1]), [1, 0]);
    const tokens = add(concat([mean(pixels, [1], { keepDims: true }), pixels], 1), positions);
    const [q, k, v] = queriesKeysValues(p.at('qkv_proj'), tokens, heads, 'new');
    const attended = attention(q, k, v, { heads });
    p.at('attention').mark(transpose(attended, [0, 2, 1]));
    const [b = 1] = x.shape;
    return reshape(pointwise(p.at('c_proj'), slice(attended, 1, 0, 1), out), [b, out]);
  });
}
