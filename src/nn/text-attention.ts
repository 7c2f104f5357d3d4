/** Attention of DeepFloyd IF: the pixels of an image gather from a text and from each other; and the pooling of a text to one vector. */

import { add, attention, concat, mean, reshape, transpose } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { legacyParts, pointwise, queriesKeysValues } from './attention-block.ts';
import { fixedSize } from './fixed-size.ts';
import { linearLayer } from './linear.ts';
import { groupNormLayer } from './norm.ts';
import { toImage, toTokens } from './tokens.ts';

export interface TextAttentionOptions {
  readonly heads: number;
  /** Groups of the image's norm. */
  readonly groups: number;
  /** Pixels gather from each other too. */
  readonly selfAttention: boolean;
}

/** Groups of the text's norm, which goes over the tokens. */
const textGroups = 32;

/** x [b, c, h, w], text [b, n, t] → the shape of x. Keys of the text come before those of the image. */
export function textAttention(
  p: Params,
  x: Sym,
  text: Sym,
  { heads, groups, selfAttention }: TextAttentionOptions,
): Sym {
  const channels = fixedSize(x, 1);
  return p.module(() => {
    const tokens = toTokens(groupNormLayer(p.at('norm'), x, { groups, epsilon: 1e-5 }));
    const norm = groupNormLayer(p.at('norm_encoder'), transpose(text, [0, 2, 1]), {
      groups: textGroups,
      epsilon: 1e-5,
    });
    const [textKeys, textValues] = legacyParts(p.at('encoder_kv'), transpose(norm, [0, 2, 1]), channels, 2, heads) as [
      Sym,
      Sym,
    ];
    const gather = (): Sym => {
      if (!selfAttention) return attention(pointwise(p.at('qkv'), tokens, channels), textKeys, textValues, { heads });
      const [q, k, v] = queriesKeysValues(p.at('qkv'), tokens, heads, 'legacy');
      return attention(q, concat([textKeys, k], 1), concat([textValues, v], 1), { heads });
    };
    return add(x, toImage(pointwise(p.at('proj_out'), gather(), channels), x));
  });
}

/** Tokens [b, n, c] → [b, c]: what their mean, with a learned vector added, gathers from itself and them (`AttentionPooling`). */
export function attentionPooling(p: Params, tokens: Sym, heads: number): Sym {
  const width = fixedSize(tokens, -1);
  const [b = 1] = tokens.shape;
  return p.module(() => {
    const average = add(mean(tokens, [1], { keepDims: true }), p.get('positional_embedding', [1, width]));
    const all = concat([average, tokens], 1);
    const project = (name: string, of: Sym): Sym => linearLayer(p.at(name), of, width);
    const gathered = attention(project('q_proj', average), project('k_proj', all), project('v_proj', all), { heads });
    return reshape(gathered, [b, width]);
  });
}
