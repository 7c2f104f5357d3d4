/** A CLIP small enough for tests. */

import { clipTextConfigSchema, clipVisionConfigSchema } from '../../src/config/network-config.ts';
import { traceClipText } from '../../src/models/clip-text.ts';
import { traceClipVision } from '../../src/models/clip-vision.ts';
import { initialWeights } from '../../src/training/step/initial-weights.ts';
import { openAiClipMap } from '../../src/checkpoints/layouts/openai-clip.ts';
import { renamed } from '../../src/checkpoints/rename.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';

/** A CLIP with fresh weights under transformers' names, 8 elements an embedding. */
export function smallClip(width = 16, seed = 3): WeightSource {
  const vision = clipVisionConfigSchema.parse({
    kind: 'clip_vision',
    hidden_size: width,
    intermediate_size: 4 * width,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    image_size: 32,
    patch_size: 16,
    projection_dim: 8,
    with_projection: true,
  });
  const text = clipTextConfigSchema.parse({
    kind: 'clip_text',
    vocab_size: 8192,
    hidden_size: width,
    intermediate_size: 4 * width,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    max_position_embeddings: 77,
    projection_dim: 8,
    with_projection: true,
    eos_token_id: 8191,
    bos_token_id: 8190,
    pad_token_id: 8191,
  });
  const parameters = [
    ...traceClipVision(vision, { outputs: ['image_embeds'] }).parameters,
    ...traceClipText(text, { outputs: ['text_embeds'] }).parameters,
  ];
  return initialWeights(
    parameters.map(({ name, value }) => ({ name: name.replace(/^transformer\./, ''), shape: value.shape.map(Number) })),
    seed,
  );
}

/** The same CLIP under transformers' names and under OpenAI's, wide enough for heads of 64 elements, which neither file tells. */
export function smallClipTwice(): { readonly transformers: WeightSource; readonly openai: WeightSource } {
  // Of this seed, pictures of any kind are near to words, so that scores are not 0.
  const transformers = smallClip(128, 8);
  return {
    transformers,
    openai: renamed(transformers, openAiClipMap({ transformer_layers: 1, vision_layers: 1 }), 'b-to-a'),
  };
}
