/** The family of models that a LoRA was trained for: by the names of its layers, the width of its cross attentions, and its metadata. */

import type { WeightEntry, WeightSource } from '../weights/weight-source.ts';
import { familyInMetadata, familyOfContext, type ModelFamily, modelFamily } from './model-families.ts';

type Entries = ReadonlyMap<string, WeightEntry>;

/** Ends of tensors' names in LoRA, LoHa, LoKr, OFT, IA³, GLoRA and whole differences, in kohya's, PEFT's, diffusers' and LyCORIS's spellings. */
const marks =
  /\.lora_(?:up|down|A|B|mid)(?:\.|$)|[._]lora\.(?:up|down)\.|\.hada_w[12]_[ab]$|\.lokr_w[12](?:_[ab])?$|\.oft_|\.on_input$|\.[ab][12]\.weight$|\.diff(?:_b)?$/;

export function isLora(entries: Entries): boolean {
  return [...entries.keys()].some((name) => name.startsWith('lora_') || marks.test(name));
}

/** In front of the names of a transformer's layers, in the forms of kohya, PEFT, diffusers and ComfyUI. */
const start =
  '^(?:diffusion_model\\.|transformer\\.|base_model\\.model\\.(?:transformer\\.)?|lora_unet_|lora_transformer_|lycoris_)?';
const at = (rest: string): RegExp => new RegExp(start + rest);

/** Names that one family's LoRAs alone have, and the widths of the matrices with these names where they decide. */
const names: readonly (readonly [ModelFamily['id'], RegExp, ...number[]])[] = [
  ['chroma', /distilled_guidance_layer|nerf_blocks/],
  ['hunyuan-video', /individual_token_refiner|token_refiner[._]refiner_blocks|double_blocks\.\d+\.img_attn_qkv/],
  ['hidream', /double_stream_blocks/],
  ['auraflow', /joint_transformer_blocks|double_layers[._]\d/],
  ['cascade', /^lora_prior_unet_/],
  ['qwen-image', /[._](?:img|txt)_mlp[._]net|[._](?:img|txt)_mod[._]1/],
  ['flux', /double_blocks|single_blocks_\d|single_blocks\.\d|single_transformer_blocks/],
  ['wan', at('blocks[._]\\d+[._](?:(?:self|cross)_attn[._][qkvo][._]|attn[12][._]to_)')],
  ['lumina', at('(?:layers|context_refiner|noise_refiner)[._]\\d+[._](?:attention|feed_forward)[._]')],
  ['pixart', at('transformer_blocks[._]\\d+[._]attn[12][._]to_'), 1152],
  ['ltx-video', at('transformer_blocks[._]\\d+[._]attn[12][._]to_')],
  ['sd3', /joint_blocks/],
  ['flux', at('transformer_blocks[._]\\d+[._]attn[._]'), 3072],
  ['sd3', at('transformer_blocks[._]\\d+[._]attn[._]')],
  // Two text encoders, or more than one transformer block at a place.
  ['sdxl', /^lora_te2_|^(?:base_model\.model\.)?text_encoder_2\.|transformer_blocks[_.][1-9]/],
];

/** The matrix behind a name whose columns have the width of its layer's input. */
const takesInput = /\.(?:lora_down|lora_A|down|lora\.down|lora_linear_layer\.down|hada_w1_b|diff)\b/;

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
  const hasName = (pattern: RegExp, widths: readonly number[]): boolean =>
    keys.some(
      (key) =>
        pattern.test(key) &&
        (widths.length === 0 || (takesInput.test(key) && widths.includes(entries.get(key)?.shape[1] ?? 0))),
    );
  const byName = names.find(([, pattern, ...widths]) => hasName(pattern, widths))?.[0];
  if (byName && (width === undefined || !modelFamily(byName).context)) return modelFamily(byName);
  const byWidth = familyOfContext(width);
  if (byWidth) return byWidth;
  // CLIP's encoder has 12 layers, OpenCLIP's 24.
  const layers = keys.map((key) => Number(textLayer.exec(key)?.[1] ?? -1));
  if (width === undefined && layers.some((layer) => layer > 11)) return modelFamily('sd2');
  return familyInMetadata(metadata);
}
