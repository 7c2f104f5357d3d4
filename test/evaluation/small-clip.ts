/** A CLIP small enough for tests. */

import { clipTextConfigSchema, clipVisionConfigSchema } from '../../src/config/network-config.ts';
import { traceClipText } from '../../src/models/clip-text.ts';
import { traceClipVision } from '../../src/models/clip-vision.ts';
import { initialWeights } from '../../src/training/initial-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';

/** A CLIP with fresh weights under transformers' names, 8 elements an embedding. */
export function smallClip(): WeightSource {
  const vision = clipVisionConfigSchema.parse({ kind: 'clip_vision', hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 4, image_size: 32, patch_size: 16, projection_dim: 8, with_projection: true });
  const text = clipTextConfigSchema.parse({ kind: 'clip_text', vocab_size: 8192, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 4, max_position_embeddings: 77, projection_dim: 8, with_projection: true, eos_token_id: 8191, bos_token_id: 8190, pad_token_id: 8191 });
  const parameters = [...traceClipVision(vision, { outputs: ['image_embeds'] }).parameters, ...traceClipText(text, { outputs: ['text_embeds'] }).parameters];
  return initialWeights(parameters.map(({ name, value }) => ({ name: name.replace(/^transformer\./, ''), shape: value.shape.map(Number) })), 3);
}
