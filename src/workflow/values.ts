/** What flows along the links of a workflow, by ComfyUI's names of types. Values are not changed once a node has returned them: they are kept. */

import type { SamplerSettings, SigmaSampling } from '../diffusion/sampler.ts';
import type { FamilyPair } from '../checkpoints/model-families.ts';
import type { TorchGenerator } from '../random/torch-generator.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { FolderList, InputSpec, InputSpecs } from './input-spec.ts';
import type { ClipValue } from './values/clip.ts';
import type { ConditioningValue } from './values/conditioning.ts';
import type { ControlNetValue } from './values/control.ts';
import type { ModelValue } from './values/model.ts';
import type { VaeValue } from './values/vae.ts';

type Float32 = Tensor<'float32'>;

/** Latents float32 [b, channels, h, w] as the first stage has them, not multiplied by the scale factor. */
export interface LatentValue {
  readonly samples: Float32;
  /** float32 [b or 1, 1, h, w] or [b, h, w] of pixels or latent elements: 1 where the picture is made again, 0 where it is kept. */
  readonly noiseMask?: Float32 | undefined;
  /** Which pictures of an imagined larger batch these are: their noise. */
  readonly batchIndex?: readonly number[] | undefined;
  /** The model that sampled it. */
  readonly of?: FamilyPair['model'] | undefined;
}

/** The noise of a run. `seed` also seeds what samplers draw. */
export interface NoiseValue {
  readonly seed: number | bigint;
  readonly make: (latent: LatentValue) => Float32;
}

/** A sampler with its settings. */
export interface SamplerValue {
  readonly sample: SigmaSampling;
  readonly settings: SamplerSettings;
  /** Draws other noise, from the next seed, for what a mask keeps, as ComfyUI's DDIM. */
  readonly drawsKeptNoise: boolean;
  /** Used instead of `sample` if the sampler continues the generator of the start noise. Other samplers start again from the seed. */
  readonly begin?: ((random: TorchGenerator) => SigmaSampling) | undefined;
  /** Takes noise from a Brownian tree. */
  readonly usesIntervalNoise: boolean;
  readonly needsUnconditional: boolean;
}

/** A change of a latent [b, c, h, w]. */
export type LatentOperation = (latent: Float32) => Float32;

/** The values by type; others are `unknown` to the nodes that take them. */
interface ValueTypes {
  readonly FLOAT: number;
  readonly STRING: string;
  readonly BOOLEAN: boolean;
  readonly COMBO: string;
  /** float32 [b, h, w, 3 or 4] in 0…1. */
  readonly IMAGE: Float32;
  /** float32 [b, h, w] in 0…1. */
  readonly MASK: Float32;
  readonly LATENT: LatentValue;
  readonly CONDITIONING: ConditioningValue;
  readonly MODEL: ModelValue;
  readonly CLIP: ClipValue;
  readonly VAE: VaeValue;
  readonly CONTROL_NET: ControlNetValue;
  /** Descending, float32. */
  readonly SIGMAS: Float32Array;
  readonly NOISE: NoiseValue;
  readonly SAMPLER: SamplerValue;
  readonly LATENT_OPERATION: LatentOperation;
}

/** Whole numbers; those whose range goes beyond 2^53 may be bigints. */
type ValueOf<S extends InputSpec> = S extends readonly ['INT', { readonly max: bigint }]
  ? number | bigint
  : S[0] extends 'INT'
    ? number
    : S[0] extends keyof ValueTypes
      ? ValueTypes[S[0]]
      : S[0] extends readonly string[] | FolderList
        ? string
        : unknown;

export type InputValues<S extends InputSpecs> = { readonly [K in keyof S]: ValueOf<S[K]> };

/** Memory that a value holds, in bytes, for the cache's limit. Models hold none of their own: their networks are counted where they are compiled. */
export function bytesOfValue(value: unknown, depth = 0): number {
  if (typeof value === 'string') return 2 * value.length;
  if (typeof value !== 'object' || value === null || depth > 6) return 8;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  if (Array.isArray(value)) return value.reduce((sum: number, one) => sum + bytesOfValue(one, depth + 1), 0);
  if ('dtype' in value && 'data' in value) return (value.data as ArrayBufferView).byteLength;
  if ('holdsNetworks' in value) return 0;
  return Object.values(value).reduce((sum: number, one) => sum + bytesOfValue(one, depth + 1), 0);
}
