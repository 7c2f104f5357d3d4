/** Puts a restored face back into its picture with a soft edge, as facexlib's `paste_faces_to_input_image`. */

import type { Image } from '../../image/image.ts';
import { erode } from '../../image/opencv/erode.ts';
import { blurFloatsOfSize } from '../../image/opencv/gaussian-blur.ts';
import { type Affine, inverseOf, warpAffine, warpDoubles, warpedCover } from '../../image/opencv/warp-affine.ts';

interface Masks {
  /** The part of the picture that the face's square covers, its border taken off; everywhere where it is undefined. */
  readonly cover?: ArrayLike<number>;
  /** The face's share of the result. */
  readonly soft: ArrayLike<number>;
}

/** The whole square, with a soft edge. */
function squareMasks(face: Image<3>, back: Affine, { width, height }: Pick<Image, 'width' | 'height'>): Masks {
  const cover = erode(warpedCover(face, back, width, height), 2);
  const area = cover.data.reduce((sum, value) => sum + value, 0);
  const edge = Math.floor(Math.trunc(Math.sqrt(area)) / 20);
  // OpenCV takes an empty square for one of 3 pixels.
  const middle = erode(cover, edge === 0 ? 3 : 2 * edge);
  const soft = edge === 0 ? middle : blurFloatsOfSize(middle, 2 * edge + 1);
  return { cover: cover.data, soft: soft.data };
}

export interface AlignedFace {
  readonly face: Image<3>;
  /** Maps the picture to the face's square. */
  readonly aligned: Affine;
  /** How much of each of its pixels shows. Default: its square with a soft edge. */
  readonly outline?: Float64Array | undefined;
}

/** Samples of `into`, interleaved, are changed; they stay fractions until the last face. */
export function pasteFace(
  into: Float64Array,
  size: Pick<Image, 'width' | 'height'>,
  { face, aligned, outline }: AlignedFace,
): void {
  const { width, height } = size;
  const back = inverseOf(aligned);
  const { cover, soft } = outline
    ? { soft: warpDoubles(outline, face, back, width, height) }
    : squareMasks(face, back, size);
  const placed = warpAffine(face, back, width, height);
  for (let i = 0; i < width * height; i++) {
    const share = soft[i] as number;
    if (share === 0) continue;
    for (let c = 0; c < 3; c++) {
      const pasted = (cover ? (cover[i] as number) : 1) * (placed.data[3 * i + c] as number);
      into[3 * i + c] = share * pasted + (1 - share) * (into[3 * i + c] as number);
    }
  }
}
