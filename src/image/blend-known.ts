/**
 * The last step of `inpaint_only` of sd-webui-controlnet 1.1.455 (`inpaint_only_post_processing`): the given picture is laid over the result
 * where nothing was painted, with a mask that is widened and softened.
 */

import { reflectedIndex } from '../tensor/reflected-index.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';

/** Side of the squares by which the mask is widened and softened, pixels (`control_net_inpaint_blur_sigma`). */
export const knownBlur = 7;

/** One axis of a plane: how many values, how far apart, and the lines that run across it. */
interface Axis {
  readonly count: number;
  readonly step: number;
  readonly lines: number;
  readonly lineStep: number;
}

const axesOf = (width: number, height: number): readonly [Axis, Axis] => [
  { count: width, step: 1, lines: height, lineStep: width },
  { count: height, step: width, lines: width, lineStep: 1 },
];

/** Each value becomes what `gather` makes of the `reach` values around it along an axis. */
function along(
  values: Float64Array,
  { count, step, lines, lineStep }: Axis,
  reach: number,
  gather: (around: (offset: number) => number | undefined) => number,
): Float64Array {
  const out = new Float64Array(values.length);
  const before = Math.floor(reach / 2);
  for (let line = 0; line < lines; line++)
    for (let i = 0; i < count; i++)
      out[line * lineStep + i * step] = gather((offset) => {
        const at = i + offset - before;
        return at < 0 || at >= count ? undefined : values[line * lineStep + at * step];
      });
  return out;
}

/** A dilation by a square: what lies outside does not count. */
function widened(values: Float64Array, axis: Axis, reach: number): Float64Array {
  return along(values, axis, reach, (around) => {
    let most = Number.NEGATIVE_INFINITY;
    for (let k = 0; k < reach; k++) most = Math.max(most, around(k) ?? Number.NEGATIVE_INFINITY);
    return most;
  });
}

/** Sums over `reach` values; beyond the borders the plane is reflected. */
function summed(values: Float64Array, { count, step, lines, lineStep }: Axis, reach: number): Float64Array {
  const out = new Float64Array(values.length);
  const before = Math.floor(reach / 2);
  for (let line = 0; line < lines; line++)
    for (let i = 0; i < count; i++) {
      let sum = 0;
      for (let k = 0; k < reach; k++)
        sum += values[line * lineStep + reflectedIndex(i + k - before, count) * step] as number;
      out[line * lineStep + i * step] = sum;
    }
  return out;
}

/** How much of each place is the result: a mask float32 [1, 1, h, w] in [0, 1], widened and softened. */
export function resultShare(mask: Tensor<'float32'>, reach = knownBlur): Tensor<'float32'> {
  const [, , height = 1, width = 1] = mask.shape;
  const [rows, columns] = axesOf(width, height);
  const wide = widened(widened(Float64Array.from(mask.data), rows, reach), columns, reach);
  const sums = summed(summed(wide, rows, reach), columns, reach);
  return tensor(
    'float32',
    mask.shape,
    Float32Array.from(sums, (sum) => sum / (reach * reach)),
  );
}

/** Pictures float32 [b, 3, h, w] in [0, 1] with the known one, float32 [1, 3, h, w], where `share` is not 1. */
export function blendKnown(
  pictures: Tensor<'float32'>,
  known: Tensor<'float32'>,
  share: Tensor<'float32'>,
): Tensor<'float32'> {
  const [size, plane] = [known.data.length, share.data.length];
  const clip = (value: number): number => Math.min(1, Math.max(0, value));
  const data = pictures.data.map((value, i) => {
    const part = share.data[i % plane] as number;
    const kept = Math.fround(Math.fround(1 - part) * (known.data[i % size] as number));
    return clip(Math.fround(Math.fround(part * clip(value)) + kept));
  });
  return tensor('float32', pictures.shape, data);
}
