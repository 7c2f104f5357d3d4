/**
 * OpenAI's `clip.model.CLIP` with a vision transformer (a) ⇄ `transformers.CLIPModel` (b), and its halves.
 *
 * q, k and v are one `in_proj` in a; the two final projections are stored transposed (a: `x @ proj`, b: a linear layer). As in
 * `transformers/models/clip/convert_clip_original_pytorch_to_hf.py`.
 */

import type { OpenAiClipConfig } from '../../config/network-config.ts';
import { layer, type NameMap, type NameRow, prefixed } from '../rename.ts';

/** One residual attention block of either tower. */
const block: readonly NameRow[] = [
  ...layer('ln_1', 'layer_norm1'),
  ...layer('ln_2', 'layer_norm2'),
  ...layer('mlp.c_fc', 'mlp.fc1'),
  ...layer('mlp.c_proj', 'mlp.fc2'),
  { a: 'attn.in_proj_weight', b: ['self_attn.q_proj.weight', 'self_attn.k_proj.weight', 'self_attn.v_proj.weight'] },
  { a: 'attn.in_proj_bias', b: ['self_attn.q_proj.bias', 'self_attn.k_proj.bias', 'self_attn.v_proj.bias'] },
  ...layer('attn.out_proj', 'self_attn.out_proj'),
];

function blocks(count: number, a: string, b: string): NameRow[] {
  return Array.from({ length: count }, (_, index) =>
    prefixed(block, `${a}transformer.resblocks.${index}.`, `${b}encoder.layers.${index}.`),
  ).flat();
}

/** The text half, with `text_projection`. */
export function openAiTextRows(config: Pick<OpenAiClipConfig, 'transformer_layers'>): NameRow[] {
  return [
    { a: 'token_embedding.weight', b: 'text_model.embeddings.token_embedding.weight' },
    { a: 'positional_embedding', b: 'text_model.embeddings.position_embedding.weight' },
    ...blocks(config.transformer_layers, '', 'text_model.'),
    ...layer('ln_final', 'text_model.final_layer_norm'),
    { a: 'text_projection', b: 'text_projection.weight', transposed: true },
  ];
}

/** The image half, with `visual_projection`. `pre_layrnorm` is the name's spelling in transformers. */
export function openAiVisionRows(config: Pick<OpenAiClipConfig, 'vision_layers'>): NameRow[] {
  return [
    { a: 'visual.class_embedding', b: 'vision_model.embeddings.class_embedding' },
    { a: 'visual.conv1.weight', b: 'vision_model.embeddings.patch_embedding.weight' },
    { a: 'visual.positional_embedding', b: 'vision_model.embeddings.position_embedding.weight' },
    ...layer('visual.ln_pre', 'vision_model.pre_layrnorm'),
    ...blocks(config.vision_layers, 'visual.', 'vision_model.'),
    ...layer('visual.ln_post', 'vision_model.post_layernorm'),
    { a: 'visual.proj', b: 'visual_projection.weight', transposed: true },
  ];
}

/** The map of one architecture, both halves. */
export function openAiClipMap(config: Pick<OpenAiClipConfig, 'transformer_layers' | 'vision_layers'>): NameMap {
  const rows = [...openAiTextRows(config), ...openAiVisionRows(config), { a: 'logit_scale', b: 'logit_scale' }];
  return { a: 'openai-clip', b: 'transformers', rows };
}
