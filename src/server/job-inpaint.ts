/** A1111's inpainting: the mask's edge, what the hole holds, and which part is painted. */

import * as z from 'zod';
import { softInpaintingField } from '../generation/mask-fields.ts';

export const inpaintSchema = z.object({
  /** Standard deviation of the blur of the mask's edge, pixels. */
  blurX: z.number().nonnegative(),
  blurY: z.number().nonnegative(),
  /** Content of the hole before sampling. */
  fill: z.enum(['fill', 'original', 'latent noise', 'latent nothing']),
  /** Paint only the part around the mask, at the size of the job, with this margin in pixels; undefined paints the whole picture. */
  onlyMaskedPadding: z.int().nonnegative().optional(),
  /** Paint where the mask is black. */
  invert: z.boolean(),
  /** A1111's `mask_round`: false paints grey in part. Default true. */
  round: z.boolean().optional(),
  /** A1111's soft inpainting. */
  soft: softInpaintingField.optional(),
});
