/** Fields of a request for models with two text encoders and micro-conditions (SDXL), and for the refiner that ends a run. */

import * as z from 'zod';
import { bounds } from './bounds.ts';
import { flag, list, oneOf, real, side, text, whole } from './fields.ts';

export const emptyNegatives = ['zeros', 'encoded'] as const;

/** Where the refiner takes over if a request does not say. */
export const defaultRefinerSwitch = 0.8;

const size = () =>
  z.strictObject({ width: side(), height: side() }, { error: 'an object of width and height' }).readonly().optional();
const crop = () =>
  z
    .strictObject({ top: whole(bounds.crop), left: whole(bounds.crop) }, { error: 'an object of top and left' })
    .readonly()
    .optional();

const oneSide = {
  /** Size of the picture before it was cropped and resized. Default: the picture's own. */
  original: size(),
  /** Where it was cropped. Default: nowhere. */
  crop: crop(),
  /** Size that it was resized to. Default: the picture's own. */
  target: size(),
  /** How beautiful the picture is, 0 to 10. SDXL's refiner only. Default 6, and 2.5 in `negative`. */
  aestheticScore: real(bounds.aestheticScore).optional(),
};

const sizeConditionsSchema = z
  .strictObject(
    {
      ...oneSide,
      /** The same of the negative prompt. Default: as above. */
      negative: z.strictObject(oneSide, { error: 'an object of size conditions' }).readonly().optional(),
    },
    { error: 'an object of size conditions' },
  )
  .readonly();

const prompt = () => text(bounds.promptLength.max);
const promptOrPrompts = () =>
  z.union([prompt(), list(prompt(), 'prompts', 0, bounds.batchSize.max)], { error: 'a text, or a list of texts' });

export const secondModelFields = {
  /** SDXL: the prompt of the second text encoder; DeepFloyd IF: the style, a text that is pooled. Default: the same. Plain syntax only. */
  secondPrompt: promptOrPrompts().optional(),
  /** The same for the negative prompt. Default: as the negative prompt. */
  secondNegativePrompt: promptOrPrompts().optional(),
  /**
   * SDXL: encoding of an empty negative prompt: `zeros` (sgm, A1111, diffusers where none is given) or the `encoded` empty text (ComfyUI,
   * diffusers where an empty one is given). Default: `encoded` with ComfyUI's noise, else `zeros`.
   */
  emptyNegative: oneOf(emptyNegatives).optional(),
  /** SDXL: size and quality conditions (micro-conditioning; Podell et al. 2023, arXiv 2307.01952). */
  sizeConditions: sizeConditionsSchema.optional(),
  /** The model that ends the run, such as SDXL's refiner: its file or its name. The library takes the loaded model. */
  refiner: text(4096).optional(),
  /** The classifier of noisy latents that guides the run towards `classLabels`: its file. The library takes the loaded classifier. */
  classifier: text(4096).optional(),
  /** How strongly it guides. Default 1. */
  classifierScale: real(bounds.classifierScale).optional(),
  /** Share of the noise after whose removal the refiner takes over, 0 to 1. Default 0.8. */
  refinerSwitchAt: real(bounds.share).optional(),
  /** Count `refinerSwitchAt` as a share of the steps, not of the noise (A1111's option). Default false. */
  refinerSwitchBySteps: flag().optional(),
};
