/** Camera noise of BSRGAN: Gaussian noise by colour channel, equal in all of them, or correlated between them. */

import type { FloatImage } from '../../image/float-image.ts';
import type { DegradationDraws } from './draws.ts';
import { clip } from './picture.ts';

/** image + sigma z, clipped to [0, 1]. `z`: standard normal, one a sample or one a pixel (grey noise). `sigma` in units of the range, so level / 255. */
export function addGaussianNoise(image: FloatImage, z: ArrayLike<number>, sigma: number): FloatImage {
  const step = z.length === image.data.length ? 1 : image.channels;
  return clip({
    ...image,
    data: image.data.map((value, i) => value + Math.fround(sigma * (z[Math.floor(i / step)] as number))),
  });
}

/** `add_Gaussian_noise`: a level drawn from `levels` (both ends included); coloured, grey or, one time in five, correlated noise. */
export function addRandomNoise(
  image: FloatImage,
  levels: readonly [number, number],
  draws: DegradationDraws,
): FloatImage {
  const sigma = draws.whole(...levels) / 255;
  const kind = draws.otherShare();
  const pixels = image.width * image.height;
  if (kind > 0.6) return addGaussianNoise(image, draws.normals(pixels * 3), sigma);
  if (kind < 0.4) return addGaussianNoise(image, draws.normals(pixels), sigma);
  const factor = correlationFactor(draws);
  const z = draws.normals(pixels * 3);
  const noise = new Float64Array(z.length);
  for (let i = 0; i < z.length; i += 3) {
    for (let r = 0; r < 3; r++)
      for (let c = 0; c <= r; c++)
        noise[i + r] = (noise[i + r] as number) + (factor[r * 3 + c] as number) * (z[i + c] as number);
  }
  return addGaussianNoise(image, noise, levels[1] / 255);
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
