/** Inputs of a job: the initial picture at the job's size and, for inpainting, the mask and the overlay. */

import { flatten, type Image, toRgb } from '../../image/image.ts';
import type { JobRequest } from '../job.ts';
import { fitImage } from '../../image/fit-image.ts';
import { inpaintRegion, type Overlay } from '../../image/inpaint-region.ts';

export interface PreparedPictures {
  readonly image: Image<3>;
  /** White is regenerated. */
  readonly mask?: Image<1>;
  readonly overlay?: Overlay;
}

export function preparePictures(picture: Image, sketch: Image | undefined, request: JobRequest): PreparedPictures {
  const { background = '#ffffff' } = request;
  const [red = 255, green = 255, blue = 255] = Buffer.from(background.slice(1), 'hex');
  const opaque = picture.channels === 4 ? flatten(picture, [red, green, blue]) : toRgb(picture);
  if (sketch) return inpaintRegion(opaque, sketch, request);
  // Outpainting keeps the picture's own size.
  if (request.outpaint) return { image: opaque };
  return { image: fitImage(opaque, request.width, request.height, request.resizeMode ?? 'stretch') };
}
