/** Fields of a request for what A1111 does around image to image: outpainting and colour correction. */

import * as z from 'zod';
import { latentFills } from '../diffusion/latent-fill.ts';
import { bounds } from './bounds.ts';
import { flag, oneOf, real, whole } from './fields.ts';

export const outpaintMethods = ['mk2', 'poor-mans'] as const;
export const outpaintFills = ['fill', ...latentFills] as const;

const side = () => whole(bounds.outpaint).default(0);

export const outpaintField = z
  .strictObject(
    {
      /** Pixels to add at each side. Opposite sides together fill up to a multiple of 64. */
      left: side(),
      right: side(),
      up: side(),
      down: side(),
      /** `mk2` adds a side at a time, over noise in the picture's style; `poor-mans` paints tiles around it. Default `mk2`. */
      method: oneOf(outpaintMethods).default('mk2'),
      /** Pixels by which the edge between old and new is softened. Default 8, for `poor-mans` 4. */
      maskBlur: whole(bounds.outpaintBlur).optional(),
      /** `poor-mans`: what the new part holds before sampling. Default `fill`: the colours next to it. */
      fill: oneOf(outpaintFills).optional(),
      /** `mk2`: exponent of the picture's spectrum in the noise; lower shows more detail. Default 1. */
      fallOff: real(bounds.fallOff).optional(),
      /** `mk2`: share of colour in the noise. Default 0.05. */
      colorVariation: real(bounds.share).optional(),
    },
    { error: 'an object of left, right, up, down, method and its settings' },
  )
  .refine(({ left, right, up, down }) => left + right + up + down > 0, {
    error: 'an object with pixels to add at one side or more',
  })
  .readonly();

export type Outpaint = z.output<typeof outpaintField>;

export const outpaintFields = {
  /** Extends the picture beyond its edges, as A1111's two scripts. `width` and `height` are then the largest part that is painted at once. */
  outpaint: outpaintField.optional(),
};

export const colorFields = {
  /** The result takes over the colours of the initial picture, as A1111's `img2img_color_correction`. Default false. */
  colorCorrection: flag().optional(),
};
