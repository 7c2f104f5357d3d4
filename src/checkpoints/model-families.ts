/**
 * The families of models, and the sizes and names by which a model and a file that belongs to one show their family. A file of another family
 * is refused here, by name, before anything of it is applied.
 *
 * Sizes: `context_dim` of the published UNets, and the widths of their text encoders. Names: those of the published LoRAs, embeddings and
 * control networks; `modelspec.architecture` of ModelSpec 1.0.1 and `ss_base_model_version` of kohya's sd-scripts.
 */

import { StableDiffusionError } from '../errors.ts';
import type { MetadataValue, WeightSource } from '../weights/weight-source.ts';

export interface ModelFamily {
  readonly id: 'sd1' | 'sd2' | 'sdxl' | 'sdxl-refiner' | 'sd3' | 'flux' | OtherFamilyId;
  /** `Stable Diffusion 1`. */
  readonly name: string;
  /** With its article: `a Stable Diffusion 1 model`. */
  readonly model: string;
  /** Width of the context of its UNet's cross attention; absent for families without a UNet. */
  readonly context?: number;
  /** Families of one value share the latents of their autoencoders. */
  readonly latents: 'sd' | 'sdxl' | 'sd3' | 'flux' | 'other';
  /** Whether this program makes pictures with its models. */
  readonly isRun: boolean;
  /** What the metadata of a file says of its family. */
  readonly metadata: RegExp;
}

/** Families that this program does not run, whose LoRAs people have. */
type OtherFamilyId =
  | 'chroma'
  | 'wan'
  | 'qwen-image'
  | 'hunyuan-video'
  | 'ltx-video'
  | 'lumina'
  | 'hidream'
  | 'pixart'
  | 'auraflow'
  | 'cascade';

const other = (id: OtherFamilyId, name: string, metadata: RegExp): ModelFamily => ({
  id,
  name,
  model: `${/^(Aura|LTX)/.test(name) ? 'an' : 'a'} ${name} model`,
  latents: 'other',
  isRun: false,
  metadata,
});

/** In the order in which metadata is compared: what is more particular comes first. */
export const modelFamilies: readonly ModelFamily[] = [
  other('chroma', 'Chroma', /^chroma/i),
  other('wan', 'Wan', /^wan/i),
  other('qwen-image', 'Qwen-Image', /^qwen/i),
  other('hunyuan-video', 'HunyuanVideo', /^hunyuan-?video/i),
  other('ltx-video', 'LTX-Video', /^ltx/i),
  other('lumina', 'Lumina or Z-Image', /^(lumina|z-?image)/i),
  other('hidream', 'HiDream', /^hidream/i),
  other('pixart', 'PixArt', /^pixart/i),
  other('auraflow', 'AuraFlow', /^auraflow/i),
  other('cascade', 'Stable Cascade', /^stable-cascade/i),
  { id: 'flux', name: 'Flux', model: 'a Flux model', latents: 'flux', isRun: false, metadata: /^flux/i },
  {
    id: 'sd3',
    name: 'Stable Diffusion 3',
    model: 'a Stable Diffusion 3 model',
    latents: 'sd3',
    isRun: false,
    metadata: /^(stable-diffusion-v?3|sd3)/i,
  },
  {
    id: 'sdxl-refiner',
    name: 'the SDXL refiner',
    model: 'an SDXL refiner',
    context: 1280,
    latents: 'sdxl',
    isRun: true,
    metadata: /^(stable-diffusion-xl-v1-refiner|sdxl_refiner)/i,
  },
  {
    id: 'sdxl',
    name: 'SDXL',
    model: 'an SDXL model',
    context: 2048,
    latents: 'sdxl',
    isRun: true,
    metadata: /^(stable-diffusion-xl|sdxl)/i,
  },
  {
    id: 'sd2',
    name: 'Stable Diffusion 2',
    model: 'a Stable Diffusion 2 model',
    context: 1024,
    latents: 'sd',
    isRun: true,
    metadata: /^(stable-diffusion-v2|sd_v2)/i,
  },
  {
    id: 'sd1',
    name: 'Stable Diffusion 1',
    model: 'a Stable Diffusion 1 model',
    context: 768,
    latents: 'sd',
    isRun: true,
    metadata: /^(stable-diffusion-v1|sd_v1)/i,
  },
];

export function modelFamily(id: ModelFamily['id']): ModelFamily {
  return modelFamilies.find((family) => family.id === id) as ModelFamily;
}

/** The family of a UNet by the width of its context; undefined for other widths. */
export function familyOfContext(width: number | null | undefined): ModelFamily | undefined {
  return modelFamilies.find(({ context }) => context !== undefined && context === width);
}

/** The width of the context that a UNet's cross attention takes, under the names of any layout; undefined without cross attention. */
export const contextWidthOf = (source: WeightSource): number | undefined => sizeOf(source, /attn2\.to_k\.weight$/, 1);

/** The family of the denoiser in a file, under the names of any layout. */
function familyOfDenoiser({ entries }: WeightSource): ModelFamily | undefined {
  for (const [name, { shape }] of entries) {
    if (/attn2\.to_k\.weight$/.test(name)) return familyOfContext(shape[1]);
    if (name.includes('joint_blocks.')) return modelFamily('sd3');
    if (name.includes('double_blocks.')) return modelFamily('flux');
  }
  return undefined;
}

/** An axis of the first tensor whose name ends so. */
function sizeOf({ entries }: WeightSource, ending: RegExp, axis: number): number | undefined {
  for (const [name, { shape }] of entries) if (ending.test(name)) return shape[axis];
  return undefined;
}

/**
 * Throws `weights-mismatch` for the autoencoder of another family: by the channels of its latents, and where a whole checkpoint or the file's
 * metadata tells its family. Stable Diffusion 1 and 2 share their latents, SDXL and its refiner theirs.
 */
export function refuseAutoencoder(vae: WeightSource, model: WeightSource): void {
  const own = familyOfDenoiser(model);
  const family = familyOfDenoiser(vae) ?? familyInMetadata(vae.metadata);
  const pair = { file: vae.label, what: 'an autoencoder (VAE)', model: { label: model.label, family: own } };
  if (family && own && family.latents !== own.latents) throw otherFamily({ ...pair, family });
  const found = sizeOf(vae, /(^|\.)decoder\.conv_in\.weight$/, 1);
  const wanted = sizeOf(model, /(^|\.)(diffusion_model\.out\.2|out\.2|^conv_out)\.weight$/, 0);
  if (found === undefined || wanted === undefined || found === wanted || found * 2 === wanted) return;
  const name = found === 16 ? 'for Stable Diffusion 3 or Flux' : 'for another family of models';
  throw new StableDiffusionError(
    'weights-mismatch',
    `${vae.label} is an autoencoder (VAE) ${name}: its latents have ${found} channels, those of ${model.label} ${wanted}. Use it with a model of its family.`,
    { details: { file: vae.label } },
  );
}

/** What a file's metadata says. */
export function familyInMetadata(metadata: ReadonlyMap<string, MetadataValue> | undefined): ModelFamily | undefined {
  for (const key of ['modelspec.architecture', 'ss_base_model_version']) {
    const value = metadata?.get(key);
    const found =
      typeof value === 'string' ? modelFamilies.find((family) => family.metadata.test(value.trim())) : undefined;
    if (found) return found;
  }
  return undefined;
}

/** The family of a textual inversion: by the names of its tensors where it has one for each encoder, else by its width. */
export function familyOfEmbedding({ entries }: Pick<WeightSource, 'entries'>): ModelFamily | undefined {
  if (entries.has('t5xxl')) return modelFamily(entries.has('clip_g') ? 'sd3' : 'flux');
  if (entries.has('clip_g')) return modelFamily('sdxl');
  const widths = new Set([...entries.values()].map(({ shape }) => shape.at(-1)));
  return (['sd1', 'sd2'] as const).map(modelFamily).find(({ context }) => widths.has(context));
}

/** A file, and the model that it is to be used with. */
export interface FamilyPair {
  /** Its label. */
  readonly file: string;
  /** With its article: `a LoRA`. */
  readonly what: string;
  readonly family: ModelFamily | undefined;
  readonly model: { readonly label: string; readonly family: ModelFamily | undefined };
}

/** The error for a file of another family than the model's. */
export function otherFamily({ file, what, family, model }: FamilyPair): StableDiffusionError {
  const own = model.family?.model ?? 'a model of another family';
  return new StableDiffusionError(
    'weights-mismatch',
    `${file} is ${what} for ${family?.name ?? 'another family of models'}, and ${model.label} is ${own}. Use it with ${family?.model ?? 'a model of its family'}.`,
    { details: { file, family: family?.id, model: model.family?.id } },
  );
}

/** Throws `weights-mismatch`, in one line, where both families are known and differ. */
export function refuseOtherFamily(pair: FamilyPair): void {
  const { family, model } = pair;
  if (family && model.family && family !== model.family) throw otherFamily(pair);
}
