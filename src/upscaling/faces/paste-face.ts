/** Puts a restored face back into its picture with a soft edge, as facexlib's `paste_faces_to_input_image` without a parsing network. */

import type { FloatImage } from '../../image/float-image.ts';
import type { Image } from '../../image/image.ts';
import { erode } from '../../image/opencv/erode.ts';
import { blurFloatsOfSize } from '../../image/opencv/gaussian-blur.ts';
import { type Affine, inverseOf, warpAffine, warpedCover } from '../../image/opencv/warp-affine.ts';

/** The part of the picture that the face's square covers, its border taken off, and the same with a soft edge. */
function masks(
  face: Image<3>,
  back: Affine,
  width: number,
  height: number,
): { readonly cover: FloatImage; readonly soft: FloatImage } {
  const cover = erode(warpedCover(face, back, width, height), 2);
  const area = cover.data.reduce((sum, value) => sum + value, 0);
  const edge = Math.floor(Math.trunc(Math.sqrt(area)) / 20);
  // OpenCV takes an empty square for one of 3 pixels.
  const middle = erode(cover, edge === 0 ? 3 : 2 * edge);
  return { cover, soft: edge === 0 ? middle : blurFloatsOfSize(middle, 2 * edge + 1) };
}

/** `aligned` maps the picture to the face's square. Samples of `into`, interleaved, are changed; they stay fractions until the last face. */
export function pasteFace(
  into: Float64Array,
  { width, height }: Pick<Image, 'width' | 'height'>,
  face: Image<3>,
  aligned: Affine,
): void {
  const back = inverseOf(aligned);
  const { cover, soft } = masks(face, back, width, height);
  const placed = warpAffine(face, back, width, height);
  for (let i = 0; i < width * height; i++) {
    const share = soft.data[i] as number;
    if (share === 0) continue;
    for (let c = 0; c < 3; c++) {
      const pasted = (cover.data[i] as number) * (placed.data[3 * i + c] as number);
      into[3 * i + c] = share * pasted + (1 - share) * (into[3 * i + c] as number);
    }
  }
}
