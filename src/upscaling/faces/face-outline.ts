/** The outline of a face by a parsing network, as facexlib's `paste_faces_to_input_image` with `use_parse` draws it. */

import type { Image } from '../../image/image.ts';
import { blurDoubles } from '../../image/opencv/blur-doubles.ts';
import { resizeBytes } from '../../image/opencv/resize-bytes.ts';
import { resizeDoubles } from '../../image/opencv/resize-floats.ts';
import type { Annotator } from '../../models/annotators/annotator.ts';
import { imageToTensor } from './face-tensor.ts';

/** Side of the square that the network sees. */
const workingSide = 512;
/** Pixels at the border that never count. */
const border = 10;
const blur = { size: 101, sigma: 11 };
const shownThroughout = 255;

/** Classes that stay the picture's: background, earring, hair, hat, clothes, neck and what hangs on it. */
const outsideClasses: ReadonlySet<number> = new Set([0, 14, 16, 17, 18]);

/** The largest of the values at each pixel: [1, classes, h, w] → its class. */
function largestOf(values: Float32Array, pixels: number): Uint8Array {
  const best = values.slice(0, pixels);
  const classes = new Uint8Array(pixels);
  for (let c = 1; c * pixels < values.length; c++)
    for (let i = 0; i < pixels; i++) {
      const value = values[c * pixels + i] as number;
      if (value > (best[i] as number)) {
        best[i] = value;
        classes[i] = c;
      }
    }
  return classes;
}

/** How much of a restored face shows at each of its pixels, 0 to 1. */
export async function faceOutline(face: Image<3>, parser: Annotator, signal?: AbortSignal): Promise<Float64Array> {
  const sides = { width: workingSide, height: workingSide };
  const { classes } = await parser.run(imageToTensor(resizeBytes(face, workingSide, workingSide, 'linear')), signal);
  const found = largestOf(classes?.data ?? new Float32Array(), workingSide ** 2);
  const mask = Float64Array.from(found, (one) => (outsideClasses.has(one) ? 0 : shownThroughout));
  const blurred = (data: Float64Array): Float64Array => blurDoubles(data, workingSide, workingSide, blur);
  const isBorder = (at: number): boolean => at < border || at >= workingSide - border;
  const soft = blurred(blurred(mask)).map((value, i) =>
    isBorder(i % workingSide) || isBorder(Math.floor(i / workingSide)) ? 0 : value / shownThroughout,
  );
  return face.width === workingSide ? soft : resizeDoubles(soft, sides, face, 'linear');
}
