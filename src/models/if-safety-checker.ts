/** DeepFloyd IF's safety checker (diffusers' `IFSafetyChecker`): what two linear heads say of CLIP's image embedding. */

import type { IfSafetyCheckerConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { reshape } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import { linearLayer } from '../nn/linear.ts';
import { clipVisionTransformer, visualProjection } from './clip-vision.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** clip_input [batch, 3, side, side], normalised for CLIP → image_embeds; p_score [batch] of unwanted content, w_score [batch] of watermarks. */
export function traceIfSafetyChecker({ vision_config }: IfSafetyCheckerConfig, options?: NetworkTraceOptions): Graph {
  const { num_channels, image_size, hidden_size, projection_dim } = vision_config;
  return traceNetwork(
    { clip_input: { dtype: 'float32', shape: [dim('batch'), num_channels, image_size, image_size] } },
    (p, given) => {
      const vision = p.at('vision_model');
      const { pooled } = clipVisionTransformer(vision.at('vision_model'), vision_config, need(given, 'clip_input'));
      const embeds = visualProjection(vision, pooled, hidden_size, projection_dim);
      const [batch = 1] = embeds.shape;
      const score = (name: string) => reshape(linearLayer(p.at(name), embeds, 1), [batch]);
      return { image_embeds: embeds, p_score: score('p_head'), w_score: score('w_head') };
    },
    options,
  );
}
