/** Inputs of a job: the initial picture at the job's size and, for inpainting, the mask and the overlay. */

import { flatten, type Image } from '../../image/image.ts';
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
  if (sketch) return inpaintRegion(picture, sketch, request);
  // Outpainting keeps the picture's own size.
  if (request.outpaint) return { image: flatten(picture) };
  return { image: fitImage(flatten(picture), request.width, request.height, request.resizeMode ?? 'stretch') };
}
