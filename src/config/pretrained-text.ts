/**
 * The sizes of published text encoders that a configuration names by `version` and does not spell out: `FrozenCLIPEmbedder` says only
 * `openai/clip-vit-large-patch14`, and OpenAI's package only `ViT-L/14`.
 */

import type { OpenAiClipConfig } from './network-config.ts';

/** OpenCLIP's text towers by `arch`: heads of 64 channels, four times the width inside. */
const openClipText: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['ViT-H-14', 1024, 24] as const,
  ['ViT-bigG-14', 1280, 32] as const,
].map(([arch, width, blocks]) => [
  arch,
  {
    hidden_size: width,
    intermediate_size: 4 * width,
    num_hidden_layers: blocks,
    num_attention_heads: width / 64,
    projection_dim: width,
    bos_token_id: 49406,
    eos_token_id: 49407,
  },
]);

/** Hugging Face fields by hub name (their `config.json`, text half). */
const transformersText: ReadonlyMap<string, Readonly<Record<string, unknown>>> = new Map<
  string,
  Readonly<Record<string, unknown>>
>([
  ...openClipText,
  [
    'openai/clip-vit-large-patch14',
    {
      hidden_size: 768,
      intermediate_size: 3072,
      num_attention_heads: 12,
      projection_dim: 768,
      bos_token_id: 0,
      eos_token_id: 2,
      pad_token_id: 1,
    },
  ],
  [
    'openai/clip-vit-base-patch32',
    {
      hidden_size: 512,
      intermediate_size: 2048,
      num_attention_heads: 8,
      projection_dim: 512,
      bos_token_id: 0,
      eos_token_id: 2,
      pad_token_id: 1,
    },
  ],
  [
    'openai/clip-vit-base-patch16',
    {
      hidden_size: 512,
      intermediate_size: 2048,
      num_attention_heads: 8,
      projection_dim: 512,
      bos_token_id: 0,
      eos_token_id: 2,
      pad_token_id: 1,
    },
  ],
]);

/** The version that CompVis's FrozenCLIPEmbedder takes by default: Stable Diffusion v1's text encoder. */
export const defaultClipVersion = 'openai/clip-vit-large-patch14';

/** Fields of a published text encoder, or undefined for a name that is not known here. */
export function pretrainedText(version: string): Readonly<Record<string, unknown>> | undefined {
  return transformersText.get(version);
}

/** The name of OpenCLIP's tower of that width; for another width that of Stable Diffusion 2. */
export function openClipArch(width: number): string {
  return openClipText.find(([, { hidden_size }]) => hidden_size === width)?.[0] ?? 'ViT-H-14';
}

const text = { context_length: 77, vocab_size: 49408, transformer_layers: 12 } as const;

const openAi: ReadonlyMap<string, Omit<OpenAiClipConfig, 'kind'>> = new Map([
  [
    'ViT-L/14',
    {
      ...text,
      embed_dim: 768,
      image_resolution: 224,
      vision_layers: 24,
      vision_width: 1024,
      vision_patch_size: 14,
      transformer_width: 768,
      transformer_heads: 12,
    },
  ],
  [
    'ViT-L/14@336px',
    {
      ...text,
      embed_dim: 768,
      image_resolution: 336,
      vision_layers: 24,
      vision_width: 1024,
      vision_patch_size: 14,
      transformer_width: 768,
      transformer_heads: 12,
    },
  ],
  [
    'ViT-B/32',
    {
      ...text,
      embed_dim: 512,
      image_resolution: 224,
      vision_layers: 12,
      vision_width: 768,
      vision_patch_size: 32,
      transformer_width: 512,
      transformer_heads: 8,
    },
  ],
  [
    'ViT-B/16',
    {
      ...text,
      embed_dim: 512,
      image_resolution: 224,
      vision_layers: 12,
      vision_width: 768,
      vision_patch_size: 16,
      transformer_width: 512,
      transformer_heads: 8,
    },
  ],
]);

/** OpenAI's CLIP by the name that `clip.load` takes, or undefined. */
export function openAiClip(name: string): OpenAiClipConfig | undefined {
  const found = openAi.get(name);
  return found && { kind: 'openai_clip', ...found };
}
