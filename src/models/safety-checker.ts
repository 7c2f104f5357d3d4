/** The safety checker that is published with Stable Diffusion (`diffusers` StableDiffusionSafetyChecker): CLIP's image embedding against concepts. */

import type { SafetyCheckerConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { matmul, reshape, sub } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { clipVisionTransformer, visualProjection } from './clip-vision.ts';
import { unitRows } from './openai-clip.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

export interface SafetyCheckerOutputs {
  readonly imageEmbeds: Sym;
  /** Cosines of image and concept embeddings: [b, concepts]. */
  readonly specialCos: Sym;
  readonly conceptCos: Sym;
  /** Each cosine less its concept's threshold. */
  readonly specialMargin: Sym;
  readonly conceptMargin: Sym;
}

/** pixels [b, 3, image_size, image_size], normalised for CLIP. */
export function safetyChecker(p: Params, config: SafetyCheckerConfig, pixels: Sym): SafetyCheckerOutputs {
  const { vision_config: vision, projection_dim, concepts, special_care_concepts } = config;
  const { pooled } = clipVisionTransformer(p.at('vision_model.vision_model'), vision, pixels);
  const imageEmbeds = visualProjection(p, pooled, vision.hidden_size, projection_dim);
  const cosines = (name: string, count: number): [Sym, Sym] => {
    const cos = matmul(unitRows(imageEmbeds), unitRows(p.get(name, [count, projection_dim])), { transposeB: true });
    return [cos, sub(cos, reshape(p.get(`${name}_weights`, [count]), [1, count]))];
  };
  const [specialCos, specialMargin] = cosines('special_care_embeds', special_care_concepts);
  const [conceptCos, conceptMargin] = cosines('concept_embeds', concepts);
  return { imageEmbeds, specialCos, conceptCos, specialMargin, conceptMargin };
}

/** clip_input [batch, 3, side, side] → image_embeds, special_cos, concept_cos, special_margin, concept_margin. */
export function traceSafetyChecker(config: SafetyCheckerConfig, options?: NetworkTraceOptions): Graph {
  const { num_channels, image_size } = config.vision_config;
  return traceNetwork(
    { clip_input: { dtype: 'float32', shape: [dim('batch'), num_channels, image_size, image_size] } },
    (p, given) => {
      const found = safetyChecker(p, config, need(given, 'clip_input'));
      return {
        image_embeds: found.imageEmbeds,
        special_cos: found.specialCos,
        concept_cos: found.conceptCos,
        special_margin: found.specialMargin,
        concept_margin: found.conceptMargin,
      };
    },
    options,
  );
}
