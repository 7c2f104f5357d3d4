/** Weights of attentions times a factor: queries, keys, values and outputs. */

import type { NamedNetwork } from '../model/network-set.ts';
import { scaledWeights } from '../weights/scaled-weights.ts';
import { inHalfPrecision } from './half-precision.ts';
import type { ClipValue } from './values/clip.ts';
import type { ModelValue } from './values/model.ts';

export interface AttentionFactors {
  readonly q: number;
  readonly k: number;
  readonly v: number;
  readonly out: number;
}

const scaled = <N extends NamedNetwork>(network: N, factor: (name: string) => number): N => ({
  ...network,
  weights: scaledWeights(network.weights, (name) => Math.fround(factor(name))),
});

/** The factor of a name like `….attn1.to_q.weight`. */
const factorOf =
  (names: Readonly<Record<string, number>>) =>
  (name: string): number =>
    Object.entries(names).find(([part]) => name.endsWith(`${part}.weight`) || name.endsWith(`${part}.bias`))?.[1] ?? 1;

/** A UNet's self-attentions (`attn1`) or cross-attentions (`attn2`). */
export function scaledAttention(
  model: ModelValue,
  kind: 'attn1' | 'attn2',
  { q, k, v, out }: AttentionFactors,
): ModelValue {
  const factor = factorOf({
    [`${kind}.to_q`]: q,
    [`${kind}.to_k`]: k,
    [`${kind}.to_v`]: v,
    [`${kind}.to_out.0`]: out,
  });
  return { ...model, network: scaled(model.network, factor) };
}

/** The outputs of both kinds of attention. */
export function scaledTimeAttention(model: ModelValue, self: number, cross: number): ModelValue {
  return { ...model, network: scaled(model.network, factorOf({ 'attn1.to_out.0': self, 'attn2.to_out.0': cross })) };
}

/** The attentions of text encoders. */
export function scaledTextAttention(clip: ClipValue, { q, k, v, out }: AttentionFactors): ClipValue {
  const factor = factorOf({
    'self_attn.q_proj': q,
    'self_attn.k_proj': k,
    'self_attn.v_proj': v,
    'self_attn.out_proj': out,
  });
  const encoders = clip.encoders.map((encoder) => {
    const made = scaled(encoder.network, factor);
    return { ...encoder, network: { ...made, weights: inHalfPrecision(made.weights) } };
  });
  return { ...clip, encoders };
}
