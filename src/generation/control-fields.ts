/**
 * Controls of a run in a request: what acts on the denoiser, how strongly and when. The opened models and the pictures are beside the
 * request (`control-inputs.ts`); here they have names.
 */

import * as z from 'zod';
import { controlWindowRules } from '../diffusion/control/control-window.ts';
import { controlModes } from '../diffusion/control/layer-weights.ts';
import { resizeModes } from '../image/fit-image.ts';
import { bounds } from './bounds.ts';
import { flag, list, oneOf, real, text, whole } from './fields.ts';

const windowFields = {
  /** Share of the steps before which it does not act. Default 0. */
  start: real(bounds.share).default(0),
  /** Share of the steps after which it does not act. Default 1. */
  end: real(bounds.share).default(1),
};

/** GLIGEN: what a phrase names, in its place. */
const groundedObject = z
  .strictObject(
    {
      phrase: text(1000),
      /** Left, top, right, bottom, as shares of the picture. */
      box: z.tuple([real(bounds.share), real(bounds.share), real(bounds.share), real(bounds.share)]).readonly(),
    },
    { error: 'an object with phrase and box' },
  )
  .readonly();

/** Fields of one ControlNet, T2I-Adapter, style adapter or GLIGEN. */
export const controlShape = {
  /** Name of its file or folder; `None` for the reference modes, which are preprocessors without a network. */
  model: text(4096),
  /** Strength. Default 1. */
  weight: real(bounds.controlWeight).default(1),
  ...windowFields,
  /**
   * `balanced`; `prompt` or `control`, as A1111's "My prompt is more important" and "ControlNet is more important"; `guess`, as the guess
   * mode of diffusers. Default `balanced`.
   */
  mode: oneOf(controlModes).default('balanced'),
  /** The passes of "hires. fix" in which it acts. Default `both`. */
  passes: oneOf(['both', 'first', 'second']).default('both'),
  /** How its picture is brought to the size of the result: `stretch`, `crop` or `fill`. Default `crop`. */
  resize: oneOf(resizeModes).default('crop'),
  /** How its picture becomes the map that the network takes. `none` takes it as it is. Default `none`. */
  preprocessor: text(200).default('none'),
  /** Pixels of the shorter side at which the preprocessor works. Default 512. */
  resolution: whole(bounds.controlResolution).optional(),
  /** The preprocessor works at the resolution that fits the result (A1111's "Pixel Perfect"). Default false. */
  pixelPerfect: flag().default(false),
  /** The preprocessor's settings (A1111's `threshold_a` and `threshold_b`); the first of a reference mode is its style fidelity. Default: its own. */
  thresholdA: real(bounds.controlThreshold).optional(),
  thresholdB: real(bounds.controlThreshold).optional(),
  /** Factors of the network's outputs, shallow to deep, the middle last, instead of `weight` and `mode`. */
  layerWeights: list(real(bounds.controlWeight), 'factors', 1, 64).optional(),
  /** GLIGEN's objects, in place of a picture. */
  objects: list(groundedObject, 'objects', bounds.groundedObjects.min, bounds.groundedObjects.max).optional(),
};

/** One ControlNet, T2I-Adapter or style adapter. */
export const controlSchema = z
  .strictObject(controlShape, { error: 'an object of a control: model, weight, start, end, mode, …' })
  .readonly();

/** Fields of one IP-Adapter. */
export const imagePromptShape = {
  /** Name of its file. */
  model: text(4096),
  /** Strength. Default 1. */
  weight: real(bounds.controlWeight).default(1),
  ...windowFields,
};

/** One IP-Adapter. */
export const imagePromptSchema = z
  .strictObject(imagePromptShape, { error: 'an object of an image prompt: model, weight, start, end' })
  .readonly();

export const controlFields = {
  /** ControlNets and T2I-Adapters, whose effects add up. */
  control: list(controlSchema, 'controls', 1, bounds.controls.max).optional(),
  /** IP-Adapters: pictures as prompts. */
  imagePrompts: list(imagePromptSchema, 'image prompts', 1, bounds.controls.max).optional(),
  /** How `start` and `end` are counted in steps. Default: as the program of `noise` counts; `a1111` for programs without controls. */
  controlRule: oneOf(controlWindowRules).optional(),
};

/**
 * A control in the second pass of A1111's "hires. fix": as in the first, but hints of thin lines (canny, mlsd) always act by depth. Undefined
 * where it does not act. Reference modes leave nothing to the negative prompt there.
 */
export function inSecondPass<C extends Pick<ControlFields, 'mode' | 'preprocessor' | 'passes'>>(
  fields: C,
): C | undefined {
  if (fields.passes === 'first') return undefined;
  const isSoft = fields.mode === 'balanced' && /canny|mlsd|reference/.test(fields.preprocessor);
  return isSoft ? { ...fields, mode: 'prompt' } : fields;
}

export type ControlFields = z.output<typeof controlSchema>;
export type ImagePromptFields = z.output<typeof imagePromptSchema>;
