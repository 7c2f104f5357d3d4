/** Depth and normal maps from a network's depth (sd-webui-controlnet's annotator/midas). */

import { StableDiffusionError } from '../errors.ts';
import { createImage, type Image } from '../image/image.ts';
import { mirroredPositions } from '../image/opencv/gaussian-blur.ts';
import type { Tensor } from '../tensor/tensor.ts';

const fround = Math.fround;

/** Depth [1, h, w] or [h, w] minus its minimum over its maximum. */
function normalised({ data }: Tensor<'float32'>): Float32Array {
  const lowest = data.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const moved = data.map((value) => value - lowest);
  const highest = moved.reduce((a, b) => Math.max(a, b), 0);
  return highest === 0 ? moved : moved.map((value) => value / highest);
}

function sidesOf({ shape }: Tensor): [height: number, width: number] {
  const [height, width] = shape.slice(-2);
  if (height === undefined || width === undefined)
    throw new StableDiffusionError(
      'shape-mismatch',
      `A depth has the shape [1, height, width], got [${shape.join(', ')}].`,
    );
  return [height, width];
}

/** Near is white. */
export function depthMap(depth: Tensor<'float32'>): Image<1> {
  const [height, width] = sidesOf(depth);
  return createImage(
    width,
    height,
    1,
    Uint8Array.from(normalised(depth), (value) => Math.trunc(Math.min(255, fround(value * 255)))),
  );
}

/** Normals from the depth's slopes; `a` is the height of the z axis, and what lies farther than `background` (0 to 1) is flat. */
export function normalMap(depth: Tensor<'float32'>, a: number, background: number): Image<3> {
  const [height, width] = sidesOf(depth);
  const relative = normalised(depth);
  const [rows, columns] = [mirroredPositions(height, 1), mirroredPositions(width, 1)];
  const out = createImage(width, height, 3);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      const at = (dy: number, dx: number): number =>
        depth.data[(rows[y + 1 + dy] as number) * width + (columns[x + 1 + dx] as number)] as number;
      const flat = (relative[i] as number) < background;
      const slope = (value: number): number => (flat ? 0 : fround(value));
      const gx = slope(at(-1, 1) - at(-1, -1) + 2 * (at(0, 1) - at(0, -1)) + at(1, 1) - at(1, -1));
      const gy = slope(at(1, -1) - at(-1, -1) + 2 * (at(1, 0) - at(-1, 0)) + at(1, 1) - at(-1, 1));
      const length = Math.sqrt(gx * gx + gy * gy + a * a);
      for (const [c, part] of [a, gy, gx].entries())
        out.data[3 * i + c] = Math.min(255, Math.max(0, Math.trunc((part / length) * 127.5 + 127.5)));
    }
  return out;
}
