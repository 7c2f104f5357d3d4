/** What a job begins from: its initial picture at its size, and for inpainting the mask and what is laid over the result. */

import { flatten, type Image } from '../../image/image.ts';
import type { JobRequest } from '../job.ts';
import { fitImage } from '../../image/fit-image.ts';
import { inpaintRegion, type Overlay } from '../../image/inpaint-region.ts';

export interface PreparedPictures {
  readonly image: Image<3>;
  /** White is painted anew. */
  readonly mask?: Image<1>;
  readonly overlay?: Overlay;
}

export function preparePictures(picture: Image, sketch: Image | undefined, request: JobRequest): PreparedPictures {
  if (sketch) return inpaintRegion(picture, sketch, request);
  return { image: fitImage(flatten(picture), request.width, request.height, request.resizeMode ?? 'stretch') };
}
