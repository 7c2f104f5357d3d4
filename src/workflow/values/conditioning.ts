/** CONDITIONING: encoded texts with where and when each holds. Fields have ComfyUI's names, by which nodes of others know them. */

import type { Tensor } from '../../tensor/tensor.ts';
import type { ControlValue } from './control.ts';
import type { GroundedPhrases } from './grounding.ts';
import type { HooksValue } from './hooks.ts';

type Float32 = Tensor<'float32'>;

/** Height, width, top and left in latent elements, or shares of the latent. */
export type ConditioningArea =
  | readonly [height: number, width: number, top: number, left: number]
  | readonly ['percentage', height: number, width: number, top: number, left: number];

/** Pictures that a variation model or SDXL sees in place of a text. */
export interface SeenPrompt {
  /** CLIP's image embeddings, float32 [n, width]. */
  readonly pictures: Float32;
  readonly strength: number;
  /** Noise on the embedding, 0 to 1. */
  readonly noise: number;
}

export interface ConditioningEntry {
  /** float32 [1, tokens, width]. */
  readonly cond: Float32;
  /** float32 [1, width]. */
  readonly pooled_output?: Float32 | undefined;
  readonly area?: ConditioningArea | undefined;
  readonly strength?: number | undefined;
  /** float32 [b, h, w]. */
  readonly mask?: Float32 | undefined;
  readonly set_area_to_bounds?: boolean | undefined;
  readonly mask_strength?: number | undefined;
  /** From 0 (noise) to 1 (picture). */
  readonly start_percent?: number | undefined;
  readonly end_percent?: number | undefined;
  readonly control?: ControlValue | undefined;
  readonly control_apply_to_uncond?: boolean | undefined;
  /** Changes of the weights for this entry alone. */
  readonly hooks?: HooksValue | undefined;
  /** Holds where no other entry of the prompt does. */
  readonly default?: boolean | undefined;
  /** What control networks see in place of the text. */
  readonly cross_attn_controlnet?: Float32 | undefined;
  /** GLIGEN's. */
  readonly gligen?: GroundedPhrases | undefined;
  /** SDXL's sizes in pixels. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly crop_w?: number | undefined;
  readonly crop_h?: number | undefined;
  readonly target_width?: number | undefined;
  readonly target_height?: number | undefined;
  readonly aesthetic_score?: number | undefined;
  /** Inpainting models: what is kept, not scaled, and the mask of pixels. */
  readonly concat_latent_image?: Float32 | undefined;
  readonly concat_mask?: Float32 | undefined;
  readonly unclip_conditioning?: readonly SeenPrompt[] | undefined;
  readonly unclip_noise_augment_merge?: number | undefined;
  readonly [key: string]: unknown;
}

export type ConditioningValue = readonly ConditioningEntry[];

/** Every entry with further fields. */
export function withFields(conditioning: ConditioningValue, fields: Partial<ConditioningEntry>): ConditioningValue {
  return conditioning.map((entry) => ({ ...entry, ...fields }));
}

/** Every entry with a control network, behind those that it has. */
export function withControl(
  conditioning: ConditioningValue,
  applied: ControlValue,
  appliesToNegative: boolean,
): ConditioningValue {
  return conditioning.map((entry) => ({
    ...entry,
    control: { ...applied, previous: entry.control },
    control_apply_to_uncond: appliesToNegative,
  }));
}
