/**
 * What a file of weights is, by a few of its names and shapes: the family of a checkpoint, the kind of a single network or adapter, and
 * what this program can do with it. Names as in the files themselves; compare `CHECKPOINT_KEY_NAMES` of diffusers
 * (loaders/single_file_utils.py).
 */

import type { NetworkConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { familyOfLora, isLora } from './lora-family.ts';
import { type ModelFamily, modelFamily } from './model-families.ts';
import { otherFamilies } from './other-families.ts';
import type { WeightEntry, WeightSource } from '../weights/weight-source.ts';

type Entries = ReadonlyMap<string, WeightEntry>;

export interface Family {
  /** For programs: stable. */
  readonly id: string;
  /** For people, with its article: `an SDXL checkpoint`. */
  readonly name: string;
  /** What to do with it, a sentence. */
  readonly advice: string;
  /** Whether the rest of the program can use it. */
  readonly isSupported: boolean;
}

interface Row extends Family {
  readonly matches: (names: Names) => boolean;
}

interface Names {
  /** Whether a name begins so. */
  begins(prefix: string): boolean;
  /** Whether a name holds this. */
  holds(part: string): boolean;
  readonly entries: Entries;
}

const steers = 'It steers a model and makes no pictures alone.';
const onlyV1 = 'This program makes pictures with Stable Diffusion v1 and v2, SDXL and models of latent diffusion.';
const other = (id: string, name: string, matches: Row['matches'], advice = onlyV1): Row => ({
  id,
  name,
  advice,
  matches,
  isSupported: false,
});

const lora = (id: string, family: ModelFamily['id'] | undefined, advice: string, isSupported = true): Row => ({
  id,
  name: family === undefined ? 'a LoRA' : `a LoRA for ${modelFamily(family).name}`,
  advice,
  isSupported,
  matches: ({ entries }) => isLora(entries) && (family === undefined || familyOfLora({ entries })?.id === family),
});

/** In the order in which they are tried: what is more particular comes first. */
const families: readonly Row[] = [
  lora('lora-flux', 'flux', onlyV1, false),
  lora('lora-sd3', 'sd3', onlyV1, false),
  lora('lora-sdxl-refiner', 'sdxl-refiner', 'Give it with --lora, together with an SDXL refiner.'),
  lora('lora-sdxl', 'sdxl', 'Give it with --lora, together with an SDXL model.'),
  lora('lora-sd2', 'sd2', 'Give it with --lora, together with a Stable Diffusion 2 model.'),
  lora('lora', undefined, 'Give it with --lora, together with a model.'),
  other(
    'controlnet-flux',
    'a ControlNet for Flux',
    (n) => n.holds('controlnet_x_embedder.') || n.begins('controlnet_double_blocks.'),
  ),
  other(
    'controlnet-sd3',
    'a ControlNet for Stable Diffusion 3',
    (n) => n.begins('pos_embed_input.') || (n.begins('controlnet_blocks.') && n.holds('transformer_blocks.')),
  ),
  other('ip-adapter-flux', 'an IP-Adapter for Flux', (n) => n.holds('ip_adapter_double_stream')),
  ...otherFamilies.map(({ id, name, use, holds }) => other(id, name, (n) => holds.some((part) => n.holds(part)), use)),
  other('sd3', 'a Stable Diffusion 3 model', (n) => n.holds('joint_blocks.')),
  other('flux', 'a Flux model', (n) => n.holds('double_blocks.') && n.holds('single_blocks.')),
  other('pixart', 'a PixArt or DiT model', (n) => n.holds('scale_shift_table') || n.holds('adaLN_modulation')),
  other(
    'controlnet',
    'a ControlNet',
    (n) => n.begins('control_model.') || n.begins('controlnet_cond_embedding.') || n.begins('input_hint_block.'),
    steers,
  ),
  other(
    't2i-adapter',
    'a T2I-Adapter',
    (n) => n.begins('adapter.') || (n.begins('conv_in.') && n.begins('body.0.resnets.')),
    steers,
  ),
  other('gligen', 'the networks of GLIGEN', (n) => n.begins('position_net.'), steers),
  other('ip-adapter', 'an IP-Adapter', (n) => n.begins('ip_adapter.') || n.begins('image_proj.'), steers),
  other(
    'upscaler',
    'an ESRGAN upscaler',
    (n) => (n.begins('body.') && n.holds('.rdb1.')) || n.holds('.RDB1.') || n.begins('model.1.sub.'),
    'Enlarge pictures with it: sd upscale.',
  ),
  other(
    'upscaler-swinir',
    'a SwinIR, DAT or HAT upscaler',
    (n) => n.begins('conv_after_body.') || n.holds('.residual_group.blocks.'),
    'It enlarges pictures and makes none.',
  ),
  other(
    'motion',
    'a motion module (AnimateDiff)',
    (n) => n.holds('motion_modules.'),
    'It moves pictures and makes none alone.',
  ),
  other(
    'hypernetwork',
    'a hypernetwork',
    ({ entries }) => [...entries.keys()].every((name) => /^\d{1,6}\/[01]\/linear/.test(name)) && entries.size > 0,
    'It changes a model and makes no pictures alone: name it in a prompt, <hypernet:NAME:1>.',
  ),
];

/** What a file is, where it is one of the families above; undefined for models that this program loads, and for what it does not know. */
export function familyOf(entries: Entries): Family | undefined {
  const names = namesOf(entries);
  return families.find(({ matches }) => matches(names));
}

/** What a single network that was recognised is, where it was given as a whole model. */
const lone: Readonly<Partial<Record<NetworkConfig['kind'], readonly [name: string, advice: string]>>> = {
  kl: ['an autoencoder (VAE) alone', 'Give it with --vae, together with a model.'],
  vq: ['an autoencoder (VQ) alone', 'Give it with --vae, together with a model.'],
  unet: [
    'a UNet alone',
    'It was saved without autoencoder and text encoder: give these with --vae and --text-encoder.',
  ],
  lucid_unet: ['a model of denoising-diffusion-pytorch', 'Its pictures come from sd sample.'],
  clip_text: ["CLIP's text encoder alone", 'Give it with --text-encoder, together with a UNet.'],
  taesd: ['a TAESD autoencoder', 'Give it with --taesd, for previews.'],
  safety_checker: ['a safety checker alone', onlyV1],
  clip_vision: ["CLIP's image encoder alone", onlyV1],
  controlnet: ['a ControlNet', steers],
  t2i_adapter: ['a T2I-Adapter', steers],
  ip_adapter: ['an IP-Adapter', steers],
  gligen: ['the networks of GLIGEN', steers],
};

/** The error for a file that was opened as a whole model and is something else that is known; undefined for what is not known. */
export function notAModel(
  source: WeightSource,
  kind?: NetworkConfig['kind'],
  cause?: StableDiffusionError,
): StableDiffusionError | undefined {
  const family = familyOf(source.entries);
  const [name, advice] = family ? [family.name, family.advice] : ((kind && lone[kind]) ?? []);
  if (name === undefined) return undefined;
  const groups = cause?.details['groups'];
  const evidence = groups ? ` (it has ${Object.keys(groups).slice(0, 4).join(', ')})` : '';
  return new StableDiffusionError('model-unknown', `${source.label} is ${name}${evidence}. ${advice}`, {
    cause,
    details: { family: family?.id ?? kind },
  });
}

function namesOf(entries: Entries): Names {
  const all = [...entries.keys()];
  return {
    begins: (prefix) => all.some((name) => name.startsWith(prefix)),
    holds: (part) => all.some((name) => name.includes(part)),
    entries,
  };
}
