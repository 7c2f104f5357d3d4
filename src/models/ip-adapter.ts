/**
 * The image projections of IP-Adapter: what CLIP's image encoder makes of a picture becomes a few tokens of context (Ye et al. 2023,
 * arXiv 2308.06721; tencent-ailab/IP-Adapter `ImageProjModel`, `Resampler`, `MLPProjModel`). `extensions/image-prompt.ts` lets the UNet
 * attend to them.
 */

import type { IpAdapterConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add, attention, concat, expand, gelu, linear, reshape, slice } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { linearLayer } from '../nn/linear.ts';
import { layerNormLayer } from '../nn/norm.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

type Projection = (p: Params, config: IpAdapterConfig, image: Sym) => Sym;

/** Rows [b, num_tokens · width] as tokens, with a norm. */
function normedTokens(p: Params, flat: Sym, { num_tokens, cross_attention_dim }: IpAdapterConfig): Sym {
  return layerNormLayer(p, reshape(flat, [flat.shape[0] ?? 1, num_tokens, cross_attention_dim]));
}

/** `ImageProjModel`: the projected image embedding [b, clip_embeddings_dim]. */
const linearProjection: Projection = (p, config, embeds) =>
  normedTokens(p.at('norm'), linearLayer(p.at('proj'), embeds, config.num_tokens * config.cross_attention_dim), config);

/** `MLPProjModel` of FaceID: a face's embedding [b, clip_embeddings_dim]. */
const faceProjection: Projection = (p, config, embeds) => {
  const inner = gelu(linearLayer(p.at('proj.0'), embeds, 2 * config.clip_embeddings_dim));
  return normedTokens(
    p.at('norm'),
    linearLayer(p.at('proj.2'), inner, config.num_tokens * config.cross_attention_dim),
    config,
  );
};

/** `MLPProjModel` of the full models: a token for each hidden state [b, tokens, clip_embeddings_dim]. */
const mlpProjection: Projection = (p, { clip_embeddings_dim, cross_attention_dim }, hidden) => {
  const proj = p.at('proj');
  const inner = gelu(linearLayer(proj.at(0), hidden, clip_embeddings_dim));
  return layerNormLayer(proj.at(3), linearLayer(proj.at(2), inner, cross_attention_dim));
};

/** `PerceiverAttention`: the latents attend to the image's states and to themselves, each under its own norm. */
function perceiver(p: Params, { width, dim_head }: IpAdapterConfig, image: Sym, latents: Sym, inner: number): Sym {
  const normed = layerNormLayer(p.at('norm2'), latents);
  const both = concat([layerNormLayer(p.at('norm1'), image), normed], 1);
  const queries = linear(normed, p.at('to_q').get('weight', [inner, width]));
  const joint = linear(both, p.at('to_kv').get('weight', [2 * inner, width]));
  const gathered = attention(queries, slice(joint, 2, 0, inner), slice(joint, 2, inner, 2 * inner), {
    heads: inner / dim_head,
  });
  return linear(gathered, p.at('to_out').get('weight', [width, inner]));
}

/** `Resampler` of the plus models: `num_tokens` learned latents gather from the hidden states [b, tokens, clip_embeddings_dim]. */
const resampler =
  (inner: number): Projection =>
  (p, config, hidden) => {
    const { width, depth, num_tokens, cross_attention_dim } = config;
    const image = linearLayer(p.at('proj_in'), hidden, width);
    let latents = expand(p.get('latents', [1, num_tokens, width]), [hidden.shape[0] ?? 1, num_tokens, width]);
    for (let i = 0; i < depth; i++) {
      const layer = p.at('layers').at(i);
      latents = add(perceiver(layer.at(0), config, image, latents, inner), latents);
      const forward = layer.at(1);
      const normed = layerNormLayer(forward.at(0), latents);
      const wide = gelu(linear(normed, forward.at(1).get('weight', [4 * width, width])));
      latents = add(linear(wide, forward.at(3).get('weight', [width, 4 * width])), latents);
    }
    return layerNormLayer(p.at('norm_out'), linearLayer(p.at('proj_out'), latents, cross_attention_dim));
  };

const projections: Readonly<Record<IpAdapterConfig['projection'], (config: IpAdapterConfig) => Projection>> = {
  linear: () => linearProjection,
  face: () => faceProjection,
  mlp: () => mlpProjection,
  resampler: ({ heads, dim_head }) => resampler(heads * dim_head),
};

/** Whether a projection takes CLIP's penultimate hidden states; the others take one embedding. */
export function takesHiddenStates({ projection }: IpAdapterConfig): boolean {
  return projection === 'resampler' || projection === 'mlp';
}

/** image_embeds [batch, clip_embeddings_dim], or hidden states [batch, tokens, clip_embeddings_dim] → image_tokens [batch, num_tokens, cross_attention_dim]. */
export function traceIpAdapter(config: IpAdapterConfig, options?: NetworkTraceOptions): Graph {
  const { clip_embeddings_dim } = config;
  const batch = dim('batch');
  const shape = takesHiddenStates(config) ? [batch, dim('tokens'), clip_embeddings_dim] : [batch, clip_embeddings_dim];
  return traceNetwork(
    { image_embeds: { dtype: 'float32', shape } },
    (p, given) => ({
      image_tokens: projections[config.projection](config)(p.at('image_proj'), config, need(given, 'image_embeds')),
    }),
    options,
  );
}
