/**
 * Large pictures in overlapping patches, each through the network by itself and blended by weights that fall towards its border: latent-diffusion's
 * `split_input_params` (`get_weighting`, `get_fold_unfold`; Rombach et al. 2022, section 4.3).
 */

import { StableDiffusionError } from '../errors.ts';
import { float32 } from '../tensor/tensor.ts';
import type { Latent } from './denoiser.ts';

export interface PatchOptions {
  /** Side of a patch, in elements of what is cut. */
  readonly size: number;
  /** From one patch to the next. */
  readonly stride: number;
  /** Patches in the middle of the picture count more (the original's `tie_braker`). Default false. */
  readonly tieBreaker?: boolean | undefined;
  /** Bounds of the weights inside a patch, and of those of whole patches. Defaults 0.01 and 0.5. */
  readonly minWeight?: number | undefined;
  readonly maxWeight?: number | undefined;
  readonly minTieWeight?: number | undefined;
  readonly maxTieWeight?: number | undefined;
}

/** Corner and size in what is cut. */
export interface Patch {
  readonly y: number;
  readonly x: number;
  readonly height: number;
  readonly width: number;
}

export interface PatchGrid {
  readonly height: number;
  readonly width: number;
  readonly rows: number;
  readonly columns: number;
  /** Row by row. */
  readonly patches: readonly Patch[];
  /** By how much a network changes sizes: above 1 for a decoder, below 1 for an encoder. */
  readonly factor: number;
  /** Weights of one patch of the output, row by row. */
  readonly weights: Float32Array;
  /** A further weight of each patch. */
  readonly ties: readonly number[];
}

/** Distance of each element from the nearest border, as a share of the side; 0 at the border. A side of one element has no distance. */
function borderDistances(height: number, width: number): number[] {
  const share = (at: number, last: number): number => (last === 0 ? 0.5 : Math.min(at / last, 1 - at / last));
  return Array.from({ length: height * width }, (_, i) =>
    Math.min(share(Math.floor(i / width), height - 1), share(i % width, width - 1)),
  );
}

const clip = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most);

/** Where patches begin along a side. A last one lies at the end, where the stride does not lead there. */
function starts(side: number, size: number, stride: number): number[] {
  const found: number[] = [];
  for (let at = 0; at + size <= side; at += stride) found.push(at);
  if ((found.at(-1) ?? 0) + size < side) found.push(side - size);
  return found;
}

/** Weights inside a patch, and of the patches of a grid. */
export function patchWeights(
  [height, width]: readonly [number, number],
  [rows, columns]: readonly [number, number],
  options: Omit<PatchOptions, 'size' | 'stride'> = {},
): Pick<PatchGrid, 'weights' | 'ties'> {
  const { minWeight = 0.01, maxWeight = 0.5, minTieWeight = 0.01, maxTieWeight = 0.5 } = options;
  return {
    weights: Float32Array.from(borderDistances(height, width), (value) => clip(value, minWeight, maxWeight)),
    ties: options.tieBreaker
      ? borderDistances(rows, columns).map((value) => clip(value, minTieWeight, maxTieWeight))
      : new Array<number>(rows * columns).fill(1),
  };
}

/** The patches of a picture. A patch is never larger than the picture. Throws `invalid-argument`. */
export function patchGrid(height: number, width: number, options: PatchOptions, factor = 1): PatchGrid {
  const { size, stride } = options;
  if (!Number.isInteger(size) || !Number.isInteger(stride) || stride < 1 || size < 1 || stride > size)
    throw new StableDiffusionError(
      'invalid-argument',
      `Patches have ${size} elements a side with a stride of ${stride}; both must be whole numbers, and the stride between 1 and the side.`,
    );
  if (factor < 1 && (!Number.isInteger(size * factor) || !Number.isInteger(stride * factor)))
    throw new StableDiffusionError(
      'invalid-argument',
      `Patches of ${size} pixels with a stride of ${stride} cannot be encoded: both must be multiples of ${1 / factor}.`,
    );
  const [ph, pw] = [Math.min(size, height), Math.min(size, width)];
  const [tops, lefts] = [starts(height, ph, stride), starts(width, pw, stride)];
  return {
    height,
    width,
    rows: tops.length,
    columns: lefts.length,
    patches: tops.flatMap((y) => lefts.map((x) => ({ y, x, height: ph, width: pw }))),
    factor,
    ...patchWeights([ph * factor, pw * factor], [tops.length, lefts.length], options),
  };
}

/** A patch of a batch [b, c, h, w]. */
export function cutPatch(value: Latent, { y, x, height, width }: Patch): Latent {
  const [b = 0, c = 0, h = 0, w = 0] = value.shape;
  const data = new Float32Array(b * c * height * width);
  for (let plane = 0; plane < b * c; plane++)
    for (let row = 0; row < height; row++) {
      const from = (plane * h + y + row) * w + x;
      data.set(value.data.subarray(from, from + width), (plane * height + row) * width);
    }
  return float32([b, c, height, width], data);
}

/** The sum of the weights at each element of the output. */
export function patchNormalization({ height, width, patches, factor, weights, ties }: PatchGrid): Float32Array {
  const sum = new Float64Array(height * factor * width * factor);
  for (const [i, patch] of patches.entries()) {
    const [ph, pw] = [patch.height * factor, patch.width * factor];
    for (let row = 0; row < ph; row++)
      for (let column = 0; column < pw; column++) {
        const at = (patch.y * factor + row) * width * factor + patch.x * factor + column;
        sum[at] = (sum[at] as number) + (weights[row * pw + column] as number) * (ties[i] as number);
      }
  }
  return Float32Array.from(sum);
}

/** Runs each patch and blends the results: [b, c, h · factor, w · factor]. */
export async function inPatches(
  grid: PatchGrid,
  run: (patch: Patch, index: number) => Promise<Latent>,
): Promise<Latent> {
  const { height, width, patches, factor, weights, ties } = grid;
  const [rows, columns] = [height * factor, width * factor];
  const plane = rows * columns;
  let sum: Float64Array | undefined;
  let shape: readonly number[] = [];
  for (const [i, patch] of patches.entries()) {
    const made = await run(patch, i);
    const [b = 0, c = 0, ph = 0, pw = 0] = made.shape;
    shape = [b, c, rows, columns];
    sum ??= new Float64Array(b * c * plane);
    for (let k = 0; k < b * c; k++)
      for (let row = 0; row < ph; row++)
        for (let column = 0; column < pw; column++) {
          const at = k * plane + (patch.y * factor + row) * columns + patch.x * factor + column;
          const weight = (weights[row * pw + column] as number) * (ties[i] as number);
          sum[at] = (sum[at] as number) + weight * (made.data[(k * ph + row) * pw + column] as number);
        }
  }
  const normalization = patchNormalization(grid);
  const total = sum ?? new Float64Array(0);
  return float32(
    shape,
    Float32Array.from(total, (value, i) => value / (normalization[i % plane] as number)),
  );
}
