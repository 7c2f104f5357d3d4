/** MODEL: a denoising network with the schedule it is sampled by, and the changes that nodes make to both. */

import type { LatentDiffusionConfig } from '../../config/latent-diffusion-config.ts';
import type { UNetConfig } from '../../config/network-config.ts';
import type { Extension } from '../../extensions/extension.ts';
import type { NamedNetwork } from '../../model/network-set.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import type { NetworkInputs } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { ConditioningValue } from './conditioning.ts';
import { extendedNetwork } from '../network-forms.ts';
import type { ModelSampling } from '../sampling/model-sampling.ts';

type Float32 = Tensor<'float32'>;

/** The predictions of one call of the guided model: denoised latents, and x, at a level. */
export interface GuidanceParts {
  readonly x: Float32;
  readonly sigma: number;
  readonly scale: number;
  readonly conditional: Float32;
  readonly unconditional: Float32;
  /** The unconditional prediction was left out: it is 0. */
  readonly isUnguided?: boolean | undefined;
  /** The further output that `ModelPatches.watches` names, of the second prompt. */
  readonly watched?: Tensor | undefined;
}

/** Inputs of one call of the network besides those of the prompts, by the call's own. */
export type FurtherInputs = (network: NamedNetwork, inputs: NetworkInputs) => NetworkInputs;

/** Replaces parts of the guidance; those of one kind act one after another. */
export interface ModelPatches {
  /** In place of u + scale (c - u): denoised latents to a denoised latent. */
  readonly guide?: ((parts: GuidanceParts, call: ModelCall) => Float32 | Promise<Float32>) | undefined;
  readonly beforeGuidance?: readonly ((parts: GuidanceParts) => GuidanceParts)[] | undefined;
  readonly afterGuidance?: readonly ((
    guided: Float32,
    parts: GuidanceParts,
    call: ModelCall,
  ) => Float32 | Promise<Float32>)[];
  /** The unconditional prediction is made at guidance scale 1 too. */
  readonly keepsUnconditional?: boolean | undefined;
  /** Changes, at a level, the mask of what is repainted. */
  readonly denoiseMask?: ((mask: Float32, sigma: number, sigmas: ArrayLike<number>) => Float32) | undefined;
  /** The network to run at a level, one after another: extensions that hold for a part of the run. */
  readonly networkAt?: readonly ((network: ModelNetwork, sigma: number) => ModelNetwork)[];
  /** A further output of the network that guidance reads. */
  readonly watches?: string | undefined;
  /** Inputs of a call for one prompt: 0 is the positive one, others are negative. One after another. */
  readonly promptInputs?: readonly ((call: PromptCall) => NetworkInputs)[];
  /** Leaves out runs of the network that would change little. */
  readonly cache?: CacheSettings | undefined;
  /** Begins a run: what its calls draw. */
  readonly furtherInputs?: readonly ((random: TorchGenerator) => FurtherInputs)[];
}

/** One prompt at one level, on its part of the latent. */
export interface PromptCall {
  readonly prompt: number;
  readonly sigma: number;
  readonly batch: number;
  /** Of the part, in latent elements. */
  readonly height: number;
  readonly width: number;
}

/** EasyCache's and LazyCache's settings. */
export interface CacheSettings {
  /** `network`: each call of the network, EasyCache. `guided`: each guided prediction, LazyCache. */
  readonly of: 'network' | 'guided';
  /** Runs again where the changes since the last run add up to this share. */
  readonly threshold: number;
  /** In shares of the run. */
  readonly start: number;
  readonly end: number;
}

export type ModelNetwork = NamedNetwork & { readonly config: UNetConfig };

/** Further calls of the network during guidance. */
export interface ModelCall {
  /** The denoised prediction of a prompt at another x, with inputs of extensions: a number for every image. */
  readonly predict: (
    which: 'conditional' | 'unconditional',
    options?: { readonly x?: Float32; readonly inputs?: Readonly<Record<string, number>> },
  ) => Promise<Float32>;
  /** The denoised prediction of another prompt at the call's x. */
  readonly predictPrompt: (prompt: ConditioningValue) => Promise<Float32>;
  readonly signal: AbortSignal | undefined;
}

export interface ModelValue {
  readonly holdsNetworks: true;
  readonly label: string;
  readonly network: ModelNetwork;
  readonly config: LatentDiffusionConfig;
  readonly sampling: ModelSampling;
  readonly patches: ModelPatches;
}

const appended = <T>(before: readonly T[] = [], more: readonly T[] = []): readonly T[] => [...before, ...more];

/** A copy with further patches; lists are appended to. */
export function patched(model: ModelValue, patches: ModelPatches): ModelValue {
  const own = model.patches;
  return {
    ...model,
    patches: {
      ...own,
      ...patches,
      beforeGuidance: appended(own.beforeGuidance, patches.beforeGuidance),
      afterGuidance: appended(own.afterGuidance, patches.afterGuidance),
      networkAt: appended(own.networkAt, patches.networkAt),
      promptInputs: appended(own.promptInputs, patches.promptInputs),
      furtherInputs: appended(own.furtherInputs, patches.furtherInputs),
    },
  };
}

/** A copy whose network has an extension. */
export const withExtension = (model: ModelValue, extension: Extension): ModelValue => ({
  ...model,
  network: extendedNetwork(model.network, extension),
});
