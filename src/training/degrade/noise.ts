/** Camera noise of BSRGAN: Gaussian noise by colour channel, equal in all of them, or correlated between them; speckles; Poisson noise. */

import type { FloatImage } from '../../image/float-image.ts';
import type { DegradationDraws } from './draws.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import { clip } from './picture.ts';

/** image + sigma z, clipped to [0, 1]. `z`: standard normal, one a sample or one a pixel (grey noise). `sigma` in units of the range, so level / 255. */
export function addGaussianNoise(image: FloatImage, z: ArrayLike<number>, sigma: number): FloatImage {
  const step = z.length === image.data.length ? 1 : image.channels;
  return clip({
    ...image,
    data: image.data.map((value, i) => value + Math.fround(sigma * (z[Math.floor(i / step)] as number))),
  });
}

/**
 * Standard normals for coloured or grey noise, or one time in five correlated noise, and what they are multiplied by. `kind`: uniform in [0, 1).
 * `levels`: of 255; the highest is that of correlated noise.
 */
function normalsOf(
  { width, height }: FloatImage,
  levels: readonly [number, number],
  draws: DegradationDraws,
  drawKind: () => number,
): { readonly z: ArrayLike<number>; readonly sigma: number } {
  const sigma = draws.whole(...levels) / 255;
  const kind = drawKind();
  const pixels = width * height;
  if (kind > 0.6) return { z: draws.normals(pixels * 3), sigma };
  if (kind < 0.4) return { z: draws.normals(pixels), sigma };
  const factor = correlationFactor(draws);
  const z = draws.normals(pixels * 3);
  const noise = new Float64Array(z.length);
  for (let i = 0; i < z.length; i += 3) {
    for (let r = 0; r < 3; r++)
      for (let c = 0; c <= r; c++)
        noise[i + r] = (noise[i + r] as number) + (factor[r * 3 + c] as number) * (z[i + c] as number);
  }
  return { z: noise, sigma: levels[1] / 255 };
}

/** `add_Gaussian_noise`: a level drawn from `levels` (both ends included); coloured, grey or, one time in five, correlated noise. */
export function addRandomNoise(
  image: FloatImage,
  levels: readonly [number, number],
  draws: DegradationDraws,
): FloatImage {
  const { z, sigma } = normalsOf(image, levels, draws, () => draws.otherShare());
  return addGaussianNoise(image, z, sigma);
}

/** `add_speckle_noise`: the same noise in proportion to the brightness. */
export function addSpeckleNoise(
  image: FloatImage,
  levels: readonly [number, number],
  draws: DegradationDraws,
): FloatImage {
  const { z, sigma } = normalsOf(image, levels, draws, () => draws.share());
  const step = z.length === image.data.length ? 1 : image.channels;
  const noise = (i: number): number => Math.fround(sigma * (z[Math.floor(i / step)] as number));
  const { data } = clip(image);
  return clip({ ...image, data: data.map((value, i) => value + Math.fround(value * noise(i))) });
}

/** Levels of 255 as shares of 1; rounded half to even, as numpy does. */
const toLevel = (value: number): number => Math.min(Math.max(roundHalfEven(value * 255), 0), 255) / 255;

/** `add_Poisson_noise`: photons are counted, 100 to 10,000 at white, for each colour, or in grey for all of them. */
export function addPoissonNoise(image: FloatImage, draws: DegradationDraws): FloatImage {
  const levels = image.data.map((value) => toLevel(value));
  const photons = 10 ** (2 * draws.share() + 2);
  const single = Math.fround(photons);
  const counted = (means: ArrayLike<number>): Float32Array =>
    Float32Array.from(draws.poisson(means), (count) => Math.fround(count) / single);
  if (draws.share() < 0.5) {
    return clip({ ...image, data: Float32Array.from(counted(levels.map((value) => value * single))) });
  }
  const grey = Float64Array.from({ length: image.width * image.height }, (_, i) =>
    toLevel(
      0.299 * (levels[3 * i] as number) + 0.587 * (levels[3 * i + 1] as number) + 0.114 * (levels[3 * i + 2] as number),
    ),
  );
  const noisy = counted(grey.map((value) => value * photons));
  const noise = (i: number): number => (noisy[i] as number) - (grey[i] as number);
  return clip({ ...image, data: levels.map((value, i) => value + noise(Math.floor(i / 3))) });
}

/** Cholesky's factor of |U^T D U|, with D random in [0, 1) and U a random rotation. */
function correlationFactor(draws: DegradationDraws): Float64Array {
  const d = draws.otherShares(3);
  const u = draws.otherShares(9);
  for (let r = 0; r < 3; r++) {
    const row = u.subarray(r * 3, r * 3 + 3);
    for (let before = 0; before < r; before++) {
      const other = u.subarray(before * 3, before * 3 + 3);
      const product = row.reduce((sum, value, i) => sum + value * (other[i] as number), 0);
      for (let i = 0; i < 3; i++) row[i] = (row[i] as number) - product * (other[i] as number);
    }
    const size = Math.hypot(...row) || 1;
    for (let i = 0; i < 3; i++) row[i] = (row[i] as number) / size;
  }
  const factor = new Float64Array(9);
  for (let r = 0; r < 3; r++) {
    for (let c = 0; c <= r; c++) {
      let value = Math.abs(
        [0, 1, 2].reduce((sum, k) => sum + (u[k * 3 + r] as number) * (d[k] as number) * (u[k * 3 + c] as number), 0),
      );
      for (let k = 0; k < c; k++) value -= (factor[r * 3 + k] as number) * (factor[c * 3 + k] as number);
      const pivot = factor[c * 4] as number;
      factor[r * 3 + c] = r === c ? Math.sqrt(Math.max(value, 0)) : pivot === 0 ? 0 : value / pivot;
    }
  }
  return factor;
}
