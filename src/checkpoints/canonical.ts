/**
 * The weights of one network under its canonical names, from whatever layout and prefix a file has.
 *
 * Canonical are the names of a CompVis checkpoint without the part's prefix: `input_blocks.…` (UNet), `encoder.…` (autoencoder),
 * `transformer.text_model.…` (CLIP text), `visual.…` (OpenAI CLIP); for networks that CompVis does not have, those of diffusers and
 * transformers (`encoder.layers.…` TAESD, `vision_model.…` CLIP vision and safety checker).
 */

import type {
  AutoencoderConfig,
  ClipTextConfig,
  ControlNetConfig,
  IfUNetConfig,
  NetworkConfig,
  NetworkKind,
  OpenAiClipConfig,
  T2IAdapterConfig,
  TaesdConfig,
  UNetConfig,
} from '../config/network-config.ts';
import { isDiffusersAutoencoder, originalTaesdHalf } from './infer/autoencoder.ts';
import { countOf, hasPrefix } from './infer/shapes.ts';
import { isDiffusersControlNet } from './infer/adapters.ts';
import { isDiffusersUNet } from './infer/unet.ts';
import { autoencoderMap } from './layouts/autoencoder.ts';
import { clipTextMap } from './layouts/clip-text.ts';
import { controlNetMap } from './layouts/control-net.ts';
import { ifUNetMap } from './layouts/if-unet.ts';
import { ldmBertMap, ldmBertMark } from './layouts/ldm-bert.ts';
import { openAiClipMap, openAiTextRows, openAiVisionRows } from './layouts/openai-clip.ts';
import { t2iAdapterMap } from './layouts/t2i-adapter.ts';
import { taesdDecoderMap, taesdEncoderMap } from './layouts/taesd.ts';
import { unetMap } from './layouts/unet.ts';
import { linearAttentionMap, projectionMap, safetyCheckerMap, textModelMap } from './layouts/variants.ts';
import { t5EncoderWeights } from './layouts/t5-encoder.ts';
import { lpipsWeights } from './lpips-weights.ts';
import { lucidPrefixes } from './lucid-file.ts';
import { renamed } from './rename.ts';
import { withNames, withoutPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

export type LayoutName = 'compvis' | 'diffusers' | 'transformers' | 'openai-clip' | 'taesd';

export interface CanonicalWeights {
  readonly layout: LayoutName;
  /** The prefix that was removed from every name: `model.diffusion_model.`, …, or empty. */
  readonly prefix: string;
  readonly source: WeightSource;
}

const { unet, first_stage: firstStage, cond_stage: condStage } = partPrefixes;

const prefixesOf: { readonly [K in NetworkKind]: readonly string[] } = {
  unet: [unet],
  encoder_unet: [unet, 'model.'],
  ddpm_unet: [unet, 'model.'],
  if_unet: [],
  lucid_unet: lucidPrefixes.filter((prefix) => prefix !== ''),
  controlnet: ['control_model.'],
  t2i_adapter: ['adapter.'],
  t2i_style: [],
  ip_adapter: [],
  gligen: [],
  kl: [firstStage, condStage],
  vq: [firstStage, condStage],
  taesd: [],
  dpt_hybrid: ['depth_model.model.'],
  clip_text: [condStage],
  clip_image_embedder: [condStage],
  clip_text_embedder: [condStage],
  bert: [condStage],
  t5_encoder: [condStage],
  class_embedder: [condStage],
  spatial_rescaler: [condStage],
  openai_clip: [`${condStage}model.`, 'module.'],
  clip_vision: [],
  safety_checker: ['safety_checker.'],
  if_safety_checker: [],
  lpips: [`${firstStage}loss.perceptual_loss.`, 'loss.perceptual_loss.'],
  discriminator: [`${firstStage}loss.discriminator.`, 'loss.discriminator.'],
  identity: [],
};

type Parts = { readonly layout: LayoutName; readonly source: WeightSource };

/** The weights of a network of known configuration. Unknown names stay unchanged: `report.ts` lists them. */
export function canonicalWeights(source: WeightSource, config: NetworkConfig): CanonicalWeights {
  const prefix = prefixesOf[config.kind].find((candidate) => hasPrefix(source.entries, candidate)) ?? '';
  const bare = withoutPrefix(source, prefix);
  return { prefix, ...translate(bare, config) };
}

function translate(source: WeightSource, config: NetworkConfig): Parts {
  switch (config.kind) {
    case 'unet':
      return unetWeights(source, config);
    case 'if_unet':
      return ifUNetWeights(source, config);
    case 'controlnet':
      return controlNetWeights(source, config);
    case 't2i_adapter':
      return t2iAdapterWeights(source, config);
    case 'kl':
    case 'vq':
      return autoencoderWeights(source, config);
    case 'taesd':
      return taesdWeights(source, config);
    case 'clip_text':
      return clipTextWeights(source, config);
    case 'openai_clip':
      return openAiWeights(source, config);
    case 'clip_vision':
      return clipVisionWeights(source);
    case 'safety_checker': {
      const map = safetyCheckerMap(source.entries.keys());
      return { layout: 'diffusers', source: map ? renamed(source, map, 'b-to-a') : source };
    }
    case 'ip_adapter':
      // The rest belongs to the UNet's attentions: `layouts/ip-adapter.ts`.
      return {
        layout: 'compvis',
        source: withNames(source, (name) => (name.startsWith('image_proj.') ? name : undefined)),
      };
    case 'gligen':
      // The rest belongs to the UNet's blocks: `layouts/gligen.ts`.
      return {
        layout: 'compvis',
        source: withNames(source, (name) => (name.startsWith('position_net.') ? name : undefined)),
      };
    case 'dpt_hybrid':
      // The head that classified ImageNet's pictures, and the residual unit that the deepest level does not have.
      return {
        layout: 'compvis',
        source: withNames(source, (name) =>
          /^pretrained\.model\.(norm|head)\.|^scratch\.refinenet4\.resConfUnit1\./.test(name) ? undefined : name,
        ),
      };
    case 't5_encoder':
      return { layout: 'transformers', source: t5EncoderWeights(source) };
    case 'bert':
      return source.entries.has(ldmBertMark)
        ? { layout: 'diffusers', source: renamed(source, ldmBertMap(config), 'b-to-a') }
        : { layout: 'compvis', source };
    case 'lpips':
      return { layout: 'compvis', source: lpipsWeights(source) };
    default:
      return { layout: 'compvis', source };
  }
}

function unetWeights(source: WeightSource, config: UNetConfig): Parts {
  if (!isDiffusersUNet(source.entries)) return { layout: 'compvis', source: projected(source, config) };
  const map = unetMap(config, {
    olderNames: source.entries.has('mid_block.attentions.0.query.weight'),
    vectorName: hasPrefix(source.entries, 'class_embedding.linear_1.') ? 'class_embedding' : 'add_embedding',
  });
  return { layout: 'diffusers', source: projected(renamed(source, map, 'b-to-a'), config) };
}

function ifUNetWeights(source: WeightSource, config: IfUNetConfig): Parts {
  if (!isDiffusersUNet(source.entries)) return { layout: 'compvis', source };
  return { layout: 'diffusers', source: renamed(source, ifUNetMap(config), 'b-to-a') };
}

function controlNetWeights(source: WeightSource, config: ControlNetConfig): Parts {
  const isDiffusers = isDiffusersControlNet(source.entries);
  const named = isDiffusers ? renamed(source, controlNetMap(config), 'b-to-a') : source;
  return { layout: isDiffusers ? 'diffusers' : 'compvis', source: projected(named, config.unet) };
}

function t2iAdapterWeights(source: WeightSource, config: T2IAdapterConfig): Parts {
  const isDiffusers = hasPrefix(source.entries, 'body.0.resnets.');
  const named = isDiffusers ? renamed(source, t2iAdapterMap(config), 'b-to-a') : source;
  return { layout: isDiffusers ? 'diffusers' : 'compvis', source: named };
}

/** Converts the transformers' projections to the network's form; files may have either, independent of their configuration. */
function projected(source: WeightSource, { use_linear_in_transformer: linear }: UNetConfig): WeightSource {
  const map = projectionMap(source.entries, linear);
  return map ? renamed(source, map, linear ? 'a-to-b' : 'b-to-a') : source;
}

function autoencoderWeights(source: WeightSource, config: AutoencoderConfig): Parts {
  if (isDiffusersAutoencoder(source.entries)) {
    const map = autoencoderMap(config, {
      olderNames: source.entries.has('encoder.mid_block.attentions.0.query.weight'),
    });
    return { layout: 'diffusers', source: renamed(source, map, 'b-to-a') };
  }
  const map = linearAttentionMap(source.entries);
  return { layout: 'compvis', source: map ? renamed(source, map, 'b-to-a') : source };
}

function taesdWeights(source: WeightSource, config: TaesdConfig): Parts {
  switch (originalTaesdHalf(source.entries)) {
    case 'encoder':
      return { layout: 'taesd', source: renamed(source, taesdEncoderMap(config), 'a-to-b') };
    case 'decoder':
      return { layout: 'taesd', source: renamed(source, taesdDecoderMap(config), 'a-to-b') };
    default:
      return { layout: 'diffusers', source };
  }
}

function clipTextWeights(found: WeightSource, config: ClipTextConfig): Parts {
  // OpenCLIP's tower inside of a model.
  const source = found.entries.has('model.token_embedding.weight') ? withoutPrefix(found, 'model.') : found;
  const { entries } = source;
  if (hasPrefix(entries, 'transformer.text_model.'))
    return { layout: 'compvis', source: withProjection(source, config, 'transformer.') };
  if (entries.has('transformer.embeddings.token_embedding.weight')) {
    const map = textModelMap(entries.keys());
    return {
      layout: 'compvis',
      source: withProjection(map ? renamed(source, map, 'b-to-a') : source, config, 'transformer.'),
    };
  }
  if (entries.has('token_embedding.weight') && hasPrefix(entries, 'transformer.resblocks.')) {
    const rows = openAiTextRows({
      transformer_layers: countOf(entries, 'transformer.resblocks.', 'CLIP text encoder'),
    });
    const half = withNames(source, (name) => (/^(visual\.|logit_scale$|attn_mask$)/.test(name) ? undefined : name));
    const text = renamed(half, { a: 'openai-clip', b: 'transformers', rows }, 'a-to-b');
    return {
      layout: 'openai-clip',
      source: withProjection(renamed(text, clipTextMap(config), 'b-to-a'), config, 'transformer.'),
    };
  }
  const half = hasPrefix(entries, 'vision_model.')
    ? withNames(source, (name) => (/^(vision_model\.|visual_projection\.|logit_scale$)/.test(name) ? undefined : name))
    : source;
  const map = clipTextMap(config, hasPrefix(entries, 'text_model.') ? 'text_model.' : '');
  return { layout: 'transformers', source: withProjection(renamed(half, map, 'b-to-a'), config, 'transformer.') };
}

/** A text encoder that is used without its projection is read without it, as `CLIPTextModel` reads a file that has one. */
function withProjection(source: WeightSource, config: ClipTextConfig, prefix: string): WeightSource {
  const name = `${prefix}text_projection.weight`;
  return config.with_projection || !source.entries.has(name)
    ? source
    : withNames(source, (other) => (other === name ? undefined : other));
}

function openAiWeights(source: WeightSource, config: OpenAiClipConfig): Parts {
  if (!hasPrefix(source.entries, 'vision_model.')) return { layout: 'openai-clip', source };
  return { layout: 'transformers', source: renamed(source, openAiClipMap(config), 'b-to-a') };
}

function clipVisionWeights(source: WeightSource): Parts {
  const { entries } = source;
  if (entries.has('visual.conv1.weight')) {
    const rows = openAiVisionRows({
      vision_layers: countOf(entries, 'visual.transformer.resblocks.', 'CLIP image encoder'),
    });
    const half = withNames(source, (name) => (name.startsWith('visual.') ? name : undefined));
    return { layout: 'openai-clip', source: renamed(half, { a: 'openai-clip', b: 'transformers', rows }, 'a-to-b') };
  }
  const isHalf = !hasPrefix(entries, 'text_model.');
  return {
    layout: 'transformers',
    source: isHalf
      ? source
      : withNames(source, (name) => (/^(vision_model|visual_projection)\./.test(name) ? name : undefined)),
  };
}
