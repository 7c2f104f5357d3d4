/** The family of models that a LoRA was trained for: by the names of its layers, the width of its cross attentions, and its metadata. */

import type { WeightEntry, WeightSource } from '../weights/weight-source.ts';
import { familyInMetadata, familyOfContext, type ModelFamily, modelFamily } from './model-families.ts';

type Entries = ReadonlyMap<string, WeightEntry>;

const marks = [
  '.lora_A.',
  '.lora_B.',
  '.lora_up.',
  '.lora_down.',
  '.lora.up.',
  '_lora.up.',
  '.hada_w1_a',
  '.lokr_w1',
  '.oft_',
];

export function isLora(entries: Entries): boolean {
  return [...entries.keys()].some((name) => name.startsWith('lora_') || marks.some((mark) => name.includes(mark)));
}

/** Names that one family's LoRAs alone have. */
const names: readonly (readonly [ModelFamily['id'], RegExp])[] = [
  ['flux', /double_blocks|single_blocks_\d|single_transformer_blocks/],
  ['sd3', /joint_blocks|^(?:base_model\.model\.)?transformer\.transformer_blocks\.\d+\.attn\./],
  // Two text encoders, or more than one transformer block at a place.
  ['sdxl', /^lora_te2_|^(?:base_model\.model\.)?text_encoder_2\.|transformer_blocks[_.][1-9]/],
];

/** The matrix that takes the context: its rows or columns have the context's width. */
const intoContext =
  /attn2[._](?:processor\.)?to_[kv](?:_lora)?\.(?:lora_down|lora_A|down|lora\.down|lora_linear_layer\.down|hada_w1_b|diff)\b/;
const textLayer = /^(?:lora_te_|text_encoder\.|base_model\.model\.text_encoder\.).*layers[._](\d+)[._]/;

/** Undefined where nothing tells. */
export function familyOfLora({
  entries,
  metadata,
}: Pick<WeightSource, 'entries' | 'metadata'>): ModelFamily | undefined {
  const keys = [...entries.keys()];
  const width = entries.get(keys.find((key) => intoContext.test(key)) ?? '')?.shape[1];
  const byWidth = familyOfContext(width);
  // The refiner has several transformer blocks at a place, too.
  if (byWidth) return byWidth;
  const byName = names.find(([, pattern]) => keys.some((key) => pattern.test(key)))?.[0];
  if (byName && width === undefined) return modelFamily(byName);
  // CLIP's encoder has 12 layers, OpenCLIP's 24.
  const layers = keys.map((key) => Number(textLayer.exec(key)?.[1] ?? -1));
  if (width === undefined && layers.some((layer) => layer > 11)) return modelFamily('sd2');
  return familyInMetadata(metadata);
}
