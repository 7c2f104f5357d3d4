/**
 * The image projection of IP-Adapter: a CLIP image embedding becomes a few tokens of context (Ye et al. 2023, arXiv 2308.06721;
 * `ImageProjModel`). `extensions/image-prompt.ts` lets the UNet attend to them.
 */

import type { IpAdapterConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { reshape } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import { linearLayer } from '../nn/linear.ts';
import { layerNormLayer } from '../nn/norm.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** image_embeds [batch, clip_embeddings_dim] → image_tokens [batch, num_tokens, cross_attention_dim]. */
export function traceIpAdapter(config: IpAdapterConfig, options?: NetworkTraceOptions): Graph {
  const { clip_embeddings_dim, cross_attention_dim, num_tokens } = config;
  return traceNetwork(
    { image_embeds: { dtype: 'float32', shape: [dim('batch'), clip_embeddings_dim] } },
    (p, given) => {
      const projection = p.at('image_proj');
      const embeds = need(given, 'image_embeds');
      const flat = linearLayer(projection.at('proj'), embeds, num_tokens * cross_attention_dim);
      const tokens = reshape(flat, [embeds.shape[0] ?? 1, num_tokens, cross_attention_dim]);
      return { image_tokens: layerNormLayer(projection.at('norm'), tokens) };
    },
    options,
  );
}
