/**
 * The architecture of CLIP's encoders from names and shapes, under the names of transformers and of OpenAI, and of the safety checker.
 *
 * Shapes do not reveal the number of heads (assumed one per 64 channels, as in every published CLIP), the activation (quick_gelu) and the
 * special token ids (the last two of the vocabulary).
 */

import {
  type ClipTextConfig,
  type ClipVisionConfig,
  clipTextConfigSchema,
  clipVisionConfigSchema,
  type OpenAiClipConfig,
  openAiClipConfigSchema,
  type SafetyCheckerConfig,
  safetyCheckerConfigSchema,
} from '../../config/network-config.ts';
import { axis, countOf, type Entries, type Inferred, inferred, shapeOf, unknown } from './shapes.ts';

/** Heads of a tower: one per 64 channels; narrower towers than 128 are taken to have 4 heads where that divides, else 1. */
export function headsFor(width: number, assumed: string[]): number {
  const heads = width % 64 === 0 && width >= 128 ? width / 64 : width % 4 === 0 ? 4 : 1;
  assumed.push(`num_attention_heads ${heads}`);
  return heads;
}

/** `prefix` is what stands before `embeddings.`; `projection` the name of the projection's weight. Throws `model-unknown`. */
export function inferClipText(
  entries: Entries,
  prefix: string,
  projection = 'text_projection.weight',
): Inferred<ClipTextConfig> {
  const what = 'CLIP text encoder';
  const assumed: string[] = [];
  const [vocabulary = 0, width = 0] = shapeOf(entries, `${prefix}embeddings.token_embedding.weight`, 2, what);
  const config = inferred(
    clipTextConfigSchema,
    {
      kind: 'clip_text',
      vocab_size: vocabulary,
      hidden_size: width,
      intermediate_size: axis(entries, `${prefix}encoder.layers.0.mlp.fc1.weight`, 2, 0, what),
      num_hidden_layers: countOf(entries, `${prefix}encoder.layers.`, what),
      num_attention_heads: headsFor(width, assumed),
      max_position_embeddings: axis(entries, `${prefix}embeddings.position_embedding.weight`, 2, 0, what),
      projection_dim: entries.get(projection)?.shape[0] ?? width,
      eos_token_id: vocabulary - 1,
      bos_token_id: Math.max(0, vocabulary - 2),
      pad_token_id: vocabulary - 1,
      with_projection: entries.has(projection),
    },
    what,
  );
  return { config, assumed: [...assumed, `hidden_act ${config.hidden_act}`] };
}

/** A text tower under OpenCLIP's names, with `model.` before them: the whole tower of SD 2.x and SDXL without its image half. */
export function isOpenClipText(entries: Entries): boolean {
  return (
    entries.has('model.token_embedding.weight') &&
    entries.has('model.ln_final.weight') &&
    !entries.has('model.visual.conv1.weight')
  );
}

/** Blocks of the published tower of SD 2.x after some tools have cut off the last, which is not used. */
const cutBlocks = { width: 1024, blocks: 23 };

/** GELU, heads of 64 channels, padding 0. SD 2.x takes the state of the last block but one. Throws `model-unknown`. */
export function inferOpenClipText(entries: Entries): Inferred<ClipTextConfig> {
  const what = 'OpenCLIP text encoder';
  const [vocabulary = 0, width = 0] = shapeOf(entries, 'model.token_embedding.weight', 2, what);
  const blocks = countOf(entries, 'model.transformer.resblocks.', what);
  const isCut = width === cutBlocks.width && blocks === cutBlocks.blocks;
  const projection = entries.get('model.text_projection')?.shape[1];
  const heads = Math.max(1, Math.floor(width / 64));
  const config = inferred(
    clipTextConfigSchema,
    {
      kind: 'clip_text',
      vocab_size: vocabulary,
      hidden_size: width,
      intermediate_size: axis(entries, 'model.transformer.resblocks.0.mlp.c_fc.weight', 2, 0, what),
      num_hidden_layers: blocks,
      num_attention_heads: heads,
      max_position_embeddings: axis(entries, 'model.positional_embedding', 2, 0, what),
      hidden_act: 'gelu',
      projection_dim: projection ?? width,
      eos_token_id: vocabulary - 1,
      bos_token_id: Math.max(0, vocabulary - 2),
      pad_token_id: 0,
      layers_skipped: isCut ? 0 : 1,
    },
    what,
  );
  return { config, assumed: [`num_attention_heads ${heads}`, `layers_skipped ${config.layers_skipped}`] };
}

/** `prefix` is what stands before `embeddings.`. Throws `model-unknown`. */
export function inferClipVision(
  entries: Entries,
  prefix = 'vision_model.',
  projection = 'visual_projection.weight',
): Inferred<ClipVisionConfig> {
  const what = 'CLIP image encoder';
  const assumed: string[] = [];
  const [width = 0, channels, patch = 0] = shapeOf(entries, `${prefix}embeddings.patch_embedding.weight`, 4, what);
  const side = gridSide(axis(entries, `${prefix}embeddings.position_embedding.weight`, 2, 0, what), what);
  const config = inferred(
    clipVisionConfigSchema,
    {
      kind: 'clip_vision',
      hidden_size: width,
      intermediate_size: axis(entries, `${prefix}encoder.layers.0.mlp.fc1.weight`, 2, 0, what),
      num_hidden_layers: countOf(entries, `${prefix}encoder.layers.`, what),
      num_attention_heads: headsFor(width, assumed),
      num_channels: channels,
      image_size: side * patch,
      patch_size: patch,
      projection_dim: entries.get(projection)?.shape[0] ?? width,
      with_projection: entries.has(projection),
    },
    what,
  );
  return { config, assumed: [...assumed, `hidden_act ${config.hidden_act}`] };
}

/** Patches along one side, from the number of positions: a square and the class token. */
function gridSide(positions: number, what: string): number {
  const side = Math.sqrt(positions - 1);
  if (!Number.isInteger(side) || side < 1)
    throw unknown(what, `it has ${positions} positions, which is not a square number plus one`);
  return side;
}

/** OpenAI's names, with `prefix` before all. Throws `model-unknown`, also for the ResNet variants. */
export function inferOpenAiClip(entries: Entries, prefix = ''): Inferred<OpenAiClipConfig> {
  const what = 'OpenAI CLIP';
  if (entries.has(`${prefix}visual.layer1.0.conv1.weight`))
    throw unknown(what, 'its image encoder is a ResNet, and only vision transformers are supported');
  const [visionWidth = 0, , patch = 0] = shapeOf(entries, `${prefix}visual.conv1.weight`, 4, what);
  const side = gridSide(axis(entries, `${prefix}visual.positional_embedding`, 2, 0, what), what);
  const [vocabulary, width = 0] = shapeOf(entries, `${prefix}token_embedding.weight`, 2, what);
  const config = inferred(
    openAiClipConfigSchema,
    {
      kind: 'openai_clip',
      embed_dim: axis(entries, `${prefix}text_projection`, 2, 1, what),
      image_resolution: side * patch,
      vision_layers: countOf(entries, `${prefix}visual.transformer.resblocks.`, what),
      vision_width: visionWidth,
      vision_patch_size: patch,
      context_length: axis(entries, `${prefix}positional_embedding`, 2, 0, what),
      vocab_size: vocabulary,
      transformer_width: width,
      // As `clip.model.build_model`: the file does not state the heads.
      transformer_heads: Math.max(1, Math.floor(width / 64)),
      transformer_layers: countOf(entries, `${prefix}transformer.resblocks.`, what),
    },
    what,
  );
  return { config, assumed: [`transformer_heads ${config.transformer_heads}`] };
}

export function isSafetyChecker(entries: Entries): boolean {
  return entries.has('concept_embeds') && entries.has('special_care_embeds');
}

/** From the published names (`vision_model.vision_model.*`). Throws `model-unknown`. */
export function inferSafetyChecker(entries: Entries): Inferred<SafetyCheckerConfig> {
  const what = 'safety checker';
  const vision = inferClipVision(entries, 'vision_model.vision_model.');
  const [concepts, projection] = shapeOf(entries, 'concept_embeds', 2, what);
  const config = inferred(
    safetyCheckerConfigSchema,
    {
      kind: 'safety_checker',
      vision_config: { ...vision.config, with_projection: false },
      projection_dim: projection,
      concepts,
      special_care_concepts: axis(entries, 'special_care_embeds', 2, 0, what),
    },
    what,
  );
  return { config, assumed: vision.assumed };
}
