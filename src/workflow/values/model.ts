/** MODEL: a denoising network with the schedule it is sampled by, and the changes that nodes make to both. */

import type { LatentDiffusionConfig } from '../../config/latent-diffusion-config.ts';
import type { UNetConfig } from '../../config/network-config.ts';
import type { NamedNetwork } from '../../model/network-set.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { ModelSampling } from '../sampling/model-sampling.ts';

type Float32 = Tensor<'float32'>;

/** The predictions of one call of the guided model: denoised latents, and x, at a level. */
export interface GuidanceParts {
  readonly x: Float32;
  readonly sigma: number;
  readonly scale: number;
  readonly conditional: Float32;
  readonly unconditional: Float32;
}

/** Replaces parts of the guidance; those of one kind act one after another. */
export interface ModelPatches {
  /** In place of u + scale (c - u): denoised latents to a denoised latent. */
  readonly guide?: ((parts: GuidanceParts) => Float32) | undefined;
  readonly beforeGuidance?: readonly ((parts: GuidanceParts) => GuidanceParts)[] | undefined;
  readonly afterGuidance?: readonly ((
    guided: Float32,
    parts: GuidanceParts,
    call: ModelCall,
  ) => Float32 | Promise<Float32>)[];
  /** The unconditional prediction is made at guidance scale 1 too. */
  readonly keepsUnconditional?: boolean | undefined;
  /** Changes the mask of what is made anew at a level. */
  readonly denoiseMask?: ((mask: Float32, sigma: number, sigmas: ArrayLike<number>) => Float32) | undefined;
  /** The network to run at a level: extensions that hold for a part of the run. */
  readonly networkAt?: ((network: NamedNetwork, sigma: number) => NamedNetwork) | undefined;
  /** Weight of the prediction at a level (Epsilon Scaling). */
  readonly scaleModelInput?: number | undefined;
}

/** Further calls of the network during guidance. */
export interface ModelCall {
  /** The denoised prediction of the prompt by another network of the same shape, at another x. */
  readonly predict: (
    which: 'conditional' | 'unconditional',
    options?: { readonly x?: Float32; readonly network?: (network: NamedNetwork) => NamedNetwork },
  ) => Promise<Float32>;
  readonly signal: AbortSignal | undefined;
}

export interface ModelValue {
  readonly holdsNetworks: true;
  readonly label: string;
  readonly network: NamedNetwork & { readonly config: UNetConfig };
  readonly config: LatentDiffusionConfig;
  readonly sampling: ModelSampling;
  readonly patches: ModelPatches;
}

/** A copy with further patches; lists are appended to. @public */
export function patched(model: ModelValue, patches: ModelPatches): ModelValue {
  const { beforeGuidance = [], afterGuidance = [] } = model.patches;
  return {
    ...model,
    patches: {
      ...model.patches,
      ...patches,
      beforeGuidance: [...beforeGuidance, ...(patches.beforeGuidance ?? [])],
      afterGuidance: [...afterGuidance, ...(patches.afterGuidance ?? [])],
    },
  };
}
