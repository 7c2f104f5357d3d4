/** CLIP's image encoder (`transformers.CLIPVisionModel`, with or without projection; Radford et al. 2021). */

import type { ClipVisionConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add, linear, reshape, slice } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { clipLayers } from '../nn/clip-layers.ts';
import { layerNormLayer } from '../nn/norm.ts';
import { visionTokens } from '../nn/vision-tokens.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

export interface ClipVisionOutputs {
  /** The embeddings after their norm, then the output of each layer: [b, 1 + patches, hidden_size] each. */
  readonly hiddenStates: readonly [Sym, ...Sym[]];
  /** The last hidden state, without the norm that comes after pooling. */
  readonly lastHiddenState: Sym;
  /** The class token after `post_layernorm`: [b, hidden_size]. */
  readonly pooled: Sym;
}

/** `CLIPVisionTransformer` (`vision_model`): normalised pixels [b, num_channels, image_size, image_size]. */
export function clipVisionTransformer(p: Params, config: ClipVisionConfig, pixels: Sym): ClipVisionOutputs {
  const { hidden_size, num_channels, patch_size, image_size, layer_norm_eps } = config;
  const scope = p.at('embeddings');
  const embedded = scope.module(() => {
    const classToken = scope.get('class_embedding', [hidden_size]);
    const weight = scope.at('patch_embedding').get('weight', [hidden_size, num_channels, patch_size, patch_size]);
    const places = 1 + Math.floor(image_size / patch_size) ** 2;
    return add(
      visionTokens(pixels, weight, classToken),
      scope.at('position_embedding').get('weight', [places, hidden_size]),
    );
  });
  // The misspelling is the original's.
  const states = clipLayers(p.at('encoder'), layerNormLayer(p.at('pre_layrnorm'), embedded, layer_norm_eps), config, {
    causal: false,
  });
  const lastHiddenState = states.at(-1) ?? states[0];
  const [b = 1] = pixels.shape;
  const pooled = layerNormLayer(
    p.at('post_layernorm'),
    reshape(slice(lastHiddenState, 1, 0, 1), [b, hidden_size]),
    layer_norm_eps,
  );
  return { hiddenStates: states, lastHiddenState, pooled };
}

/** `visual_projection`: pooled [b, hidden_size] → image embedding [b, projection]. */
export function visualProjection(p: Params, pooled: Sym, width: number, projection: number): Sym {
  return linear(pooled, p.at('visual_projection').get('weight', [projection, width]));
}

/** pixel_values [batch, num_channels, image_size, image_size] → last_hidden_state, hidden_states.N, pooled and, with a projection, image_embeds. */
export function traceClipVision(config: ClipVisionConfig, options?: NetworkTraceOptions): Graph {
  const { num_channels, image_size, hidden_size, projection_dim } = config;
  return traceNetwork(
    { pixel_values: { dtype: 'float32', shape: [dim('batch'), num_channels, image_size, image_size] } },
    (p, given) => {
      const { hiddenStates, lastHiddenState, pooled } = clipVisionTransformer(
        p.at('vision_model'),
        config,
        need(given, 'pixel_values'),
      );
      const outputs: Record<string, Sym> = { last_hidden_state: lastHiddenState, pooled };
      if (config.with_projection) outputs['image_embeds'] = visualProjection(p, pooled, hidden_size, projection_dim);
      for (const [i, state] of hiddenStates.entries()) outputs[`hidden_states.${i}`] = state;
      return outputs;
    },
    options,
  );
}
