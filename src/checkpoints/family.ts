/**
 * What a file of weights is, by a few of its names and shapes: the family of a checkpoint, the kind of a single network or adapter, and
 * what this program can do with it. Names as in the files themselves; compare `CHECKPOINT_KEY_NAMES` of diffusers
 * (loaders/single_file_utils.py).
 */

import type { LatentDiffusionConfig } from '../config/latent-diffusion-config.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { isEmbedding } from './embedding-file.ts';
import { fileKinds, kindsWithLoras, lateKinds } from './file-kinds.ts';
import { type FileKind, steers } from './kinds/file-kind.ts';
import { familyOfLora, isLora } from './lora-family.ts';
import { familyOfContext, familyOfEmbedding, type ModelFamily, modelFamilies, modelFamily } from './model-families.ts';
import { type NameMarks, nameMarks } from './name-marks.ts';
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

const onlyV1 = 'This program makes pictures with Stable Diffusion v1 and v2, SDXL and models of latent diffusion.';

/** What the rows look at. */
interface Facts {
  readonly entries: Entries;
  readonly marks: NameMarks;
  readonly isLora: boolean;
  readonly loraFamily: ModelFamily | undefined;
  readonly isEmbedding: boolean;
}

interface Row extends Family {
  readonly matches: (facts: Facts) => boolean;
}

const rowOf = ({ id, name, use = onlyV1, marks }: FileKind): Row => ({
  id,
  name,
  advice: use,
  isSupported: false,
  matches: (facts) => marks.some((mark) => facts.marks.has(mark)),
});

const lora = (family: ModelFamily): Row => ({
  id: `lora-${family.id}`,
  name: `a LoRA for ${family.name}`,
  advice: family.isRun ? `Give it with --lora, together with ${family.model}.` : onlyV1,
  isSupported: family.isRun,
  matches: ({ loraFamily }) => loraFamily?.id === family.id,
});

const embedding = (family: ModelFamily): Row => ({
  id: `embedding-${family.id}`,
  name: `a textual inversion for ${family.name}`,
  advice: family.isRun ? `Give it with --embedding, together with ${family.model}.` : onlyV1,
  isSupported: family.isRun,
  matches: ({ isEmbedding, entries }) => isEmbedding && familyOfEmbedding({ entries })?.id === family.id,
});

/** In the order in which they are tried: what is more particular comes first. */
const families: readonly Row[] = [
  ...kindsWithLoras.map(rowOf),
  // Stable Diffusion 1 is the family of LoRAs that name none.
  ...modelFamilies.filter(({ id }) => id !== 'sd1').map(lora),
  {
    id: 'lora',
    name: 'a LoRA',
    advice: 'Give it with --lora, together with a model.',
    isSupported: true,
    matches: (facts) => facts.isLora,
  },
  ...(['sd1', 'sd2', 'sdxl', 'sd3', 'flux'] as const).map(modelFamily).map(embedding),
  {
    id: 'embedding',
    name: 'a textual inversion',
    advice: 'Give it with --embedding, together with a model.',
    isSupported: true,
    matches: ({ isEmbedding }) => isEmbedding,
  },
  ...fileKinds.map(rowOf),
  {
    id: 'hypernetwork',
    name: 'a hypernetwork',
    advice: 'It changes a model and makes no pictures alone: name it in a prompt, <hypernet:NAME:1>.',
    isSupported: false,
    matches: ({ entries }) =>
      [...entries.keys()].every((name) => /^\d{1,6}\/[01]\/linear/.test(name)) && entries.size > 0,
  },
];
const unrecognised: readonly Row[] = lateKinds.map(rowOf);

/** What a file is, where it is one of the families above; undefined for models that this program loads, and for what it does not know. */
export function familyOf(entries: Entries): Family | undefined {
  return firstOf(families, entries);
}

/** What a file is in which no network was recognised; undefined for what is not known. */
export function familyOfUnrecognised(entries: Entries): Family | undefined {
  const found = firstOf([...families, ...unrecognised], entries);
  return found?.id === 'vae' ? familyOfNetwork({ entries }, 'kl') : found;
}

function firstOf(rows: readonly Row[], entries: Entries): Family | undefined {
  const lora = isLora(entries);
  const facts: Facts = {
    entries,
    marks: nameMarks(entries.keys()),
    isLora: lora,
    loraFamily: lora ? familyOfLora({ entries }) : undefined,
    isEmbedding: isEmbedding(entries),
  };
  return rows.find(({ matches }) => matches(facts));
}

/** What a single network that was recognised is, where it was given as a whole model: the name, and what to do with it. */
const lone: Readonly<Partial<Record<NetworkConfig['kind'], readonly [name: string, advice: string]>>> = {
  kl: ['an autoencoder (VAE) alone', 'Give it with --vae, together with a model.'],
  vq: ['an autoencoder (VQ) alone', 'Give it with --vae, together with a model.'],
  unet: [
    'a UNet alone',
    'It was saved without autoencoder and text encoder: give these with --vae and --text-encoder.',
  ],
  lucid_unet: ['a model of denoising-diffusion-pytorch', 'Its pictures come from sd sample.'],
  clip_text: ["CLIP's text encoder alone", 'Give it with --text-encoder, together with a UNet.'],
  bert: ["latent-diffusion's text encoder alone", 'It belongs to a model of latent diffusion.'],
  t5_encoder: lateUse('text-t5'),
  taesd: ['a TAESD autoencoder', 'Give it with --taesd, for previews.'],
  safety_checker: ['a safety checker alone', 'It belongs into the folder of a model, safety_checker/.'],
  clip_vision: lateUse('vision-clip'),
  openai_clip: ["OpenAI's CLIP", 'It measures pictures against texts: sd eval guidance --clip.'],
  controlnet: ['a ControlNet', steers],
  t2i_adapter: ['a T2I-Adapter', steers],
  t2i_style: ['a style adapter (T2I-Adapter)', steers],
  ip_adapter: ['an IP-Adapter', 'Give it with --ip-adapter, together with a model.'],
  gligen: ['the networks of GLIGEN', steers],
};

/** The family of a whole model, by the width of its context; undefined for others. */
export function familyOfCheckpoint({ unet_config: unet }: LatentDiffusionConfig): Family | undefined {
  const family = unet.kind === 'unet' ? familyOfContext(unet.context_dim) : undefined;
  return family && { id: family.id, name: family.model, advice: 'Make pictures with it: --model.', isSupported: true };
}

/** Autoencoders of other families have the layers of this program's, and latents of more channels. */
const otherLatents: Readonly<Record<number, readonly [name: string, advice: string]>> = {
  16: [
    'an autoencoder (VAE) of Stable Diffusion 3 or Flux',
    'Its latents have 16 channels, and those of the models that this program runs 4.',
  ],
  32: [
    'an autoencoder (VAE) of Flux 2',
    'Its latents have 32 channels, and those of the models that this program runs 4.',
  ],
};

const decoderInput = /(?:^|\.)decoder\.(?:conv_in|layers\.0|1)\.weight$/;

/** What a file with one network is, by its kind and by the channels of its latents. */
export function familyOfNetwork(
  { entries }: Pick<WeightSource, 'entries'>,
  kind: NetworkConfig['kind'],
): Family | undefined {
  const channels = [...entries].find(([name]) => decoderInput.test(name))?.[1].shape[1] ?? 0;
  const [name, advice] = (kind === 'kl' ? otherLatents[channels] : undefined) ?? lone[kind] ?? [];
  return name === undefined || advice === undefined ? undefined : { id: kind, name, advice, isSupported: true };
}

function lateUse(id: string): readonly [name: string, advice: string] {
  const { name = '', use = '' } = lateKinds.find((kind) => kind.id === id) ?? {};
  return [name, use];
}

/** The error for a file that was opened as a whole model and is something else that is known; undefined for what is not known. */
export function notAModel(
  source: WeightSource,
  kind?: NetworkConfig['kind'],
  cause?: StableDiffusionError,
): StableDiffusionError | undefined {
  const family =
    familyOf(source.entries) ??
    (kind && familyOfNetwork(source, kind)) ??
    (cause?.details['groups'] ? familyOfUnrecognised(source.entries) : undefined);
  if (!family) return undefined;
  const { id, name, advice } = family;
  const groups = cause?.details['groups'];
  const evidence = groups ? ` (it has ${Object.keys(groups).slice(0, 4).join(', ')})` : '';
  return new StableDiffusionError('model-unknown', `${source.label} is ${name}${evidence}. ${advice}`, {
    cause,
    details: { family: id },
  });
}
