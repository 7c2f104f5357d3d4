/**
 * The text encoder under `cond_stage_model.` of a CompVis checkpoint (a: `transformer.text_model.*`) ⇄ `transformers.CLIPTextModel` (b).
 *
 * b has the prefix `text_model.` in the published repositories (`CLIPTextModel` until transformers 4), and none as saved by
 * transformers 5. The projection of `CLIPTextModelWithProjection` is a sibling of `text_model` in both.
 */

import type { ClipTextConfig } from '../../config/network-config.ts';
import { layer, type NameMap, type NameRow, prefixed } from '../rename.ts';

const blockLayers = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.out_proj',
  'layer_norm1',
  'layer_norm2',
  'mlp.fc1',
  'mlp.fc2',
] as const;

/** Names of one block of a Hugging Face CLIP tower, the same on both sides. */
export function clipBlock(): NameRow[] {
  return blockLayers.flatMap((name) => layer(name, name));
}

/** The map of one architecture. `prefix` is what stands before `embeddings.` in b. */
export function clipTextMap(
  config: Pick<ClipTextConfig, 'num_hidden_layers'>,
  prefix: 'text_model.' | '' = 'text_model.',
): NameMap {
  const rows: NameRow[] = [
    { a: 'embeddings.token_embedding.weight', b: 'embeddings.token_embedding.weight' },
    { a: 'embeddings.position_embedding.weight', b: 'embeddings.position_embedding.weight' },
    { a: 'embeddings.position_ids', b: 'embeddings.position_ids' },
    ...layer('final_layer_norm', 'final_layer_norm'),
  ];
  for (let index = 0; index < config.num_hidden_layers; index++) {
    rows.push(...prefixed(clipBlock(), `encoder.layers.${index}.`, `encoder.layers.${index}.`));
  }
  const projection: NameRow = { a: 'transformer.text_projection.weight', b: 'text_projection.weight' };
  return { a: 'compvis', b: 'transformers', rows: [...prefixed(rows, 'transformer.text_model.', prefix), projection] };
}
