/** Fields of an inpainting request for its mask: how it becomes the latent's, what fills the hole, how the rest is kept (A1111). */

import * as z from 'zod';
import { latentFills } from '../diffusion/latent-fill.ts';
import { maskRules } from '../image/inpaint-batch.ts';
import { bounds } from './bounds.ts';
import { oneOf, real } from './fields.ts';

const exponent = () => real(bounds.softMask).optional();

/** Settings of A1111's soft inpainting. */
export const softInpaintingField = z
  .strictObject(
    {
      blendPower: exponent(),
      blendScale: exponent(),
      detailPreservation: real({ min: 1, max: 32 }).optional(),
      maskInfluence: real(bounds.share).optional(),
      differenceThreshold: exponent(),
      differenceContrast: exponent(),
    },
    {
      error:
        'an object of blendPower, blendScale, detailPreservation, maskInfluence, differenceThreshold and differenceContrast',
    },
  )
  .readonly();

export const maskFields = {
  /**
   * How the mask is brought to the latent's size: `threshold`, as CompVis, cuts it at 128 and takes the nearest pixel; `round` and `soft`, as
   * A1111's `mask_round`, resample it and round it, or paint grey in part. Default `threshold`.
   */
  maskRule: oneOf(maskRules).optional(),
  /** What the hole holds before sampling: the picture (`original`, default), `latent noise` or `latent nothing`, as A1111. */
  maskedContent: oneOf(latentFills).optional(),
  /** How the kept part is kept: `seen` at every level (CompVis, ComfyUI), or `after` each step only (A1111). Samplers in sigma space. Default `seen`. */
  keepRule: oneOf(['seen', 'after']).optional(),
  /**
   * A1111's soft inpainting, with its settings' defaults 1, 0.5, 4, 0, 0.5 and 2. It implies `keepRule: 'after'` and a soft mask. The last three
   * decide a picture's `shownMask`.
   */
  softInpainting: softInpaintingField.optional(),
};
