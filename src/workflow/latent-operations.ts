/** Functions of a latent [b, c, h, w] that other nodes apply: Reinhard's tone mapping of channel vectors, and sharpening of their directions. */

import { StableDiffusionError } from '../errors.ts';
import { mapped, zipped } from './grids.ts';
import { vectorLengths } from './latent-parts.ts';
import { convolved, sharpeningKernel } from './picture-effects.ts';
import { channelsFirst, channelsLast } from './pictures.ts';
import type { LatentOperation } from './values.ts';

/** Reinhard's tone mapping of the lengths of channel vectors, whose top is five deviations above the mean. */
export const toneMapped =
  (multiplier: number): LatentOperation =>
  (latent) => {
    const size = latent.data.length / (latent.shape[0] ?? 1);
    const lengths = mapped(vectorLengths(latent), (value) => value + 1e-10);
    // Lengths are repeated over the channels: each place counts once.
    const plane = size / (latent.shape[1] ?? 1);
    const tops = Array.from({ length: latent.shape[0] ?? 1 }, (_, item) => {
      const own = lengths.data.subarray(item * size, item * size + plane);
      const mean = own.reduce((sum, value) => sum + value, 0) / plane;
      const variance = own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (plane - 1);
      return (Math.sqrt(variance) * 5 + mean) * multiplier;
    });
    return mapped(latent, (value, i) => {
      const [length, top] = [lengths.data[i] as number, tops[Math.floor(i / size)] as number];
      const scaled = length / top;
      return (value / length) * ((scaled / (scaled + 1)) * top);
    });
  };

/** The directions of channel vectors sharpened, their lengths kept. */
export const sharpenedLatent =
  (radius: number, sigma: number, alpha: number): LatentOperation =>
  (latent) => {
    const [, , height = 1, width = 1] = latent.shape;
    if (radius >= height || radius >= width)
      throw new StableDiffusionError(
        'shape-mismatch',
        `A radius of ${radius} is too large for a latent of ${width} by ${height}; the radius must be smaller than both sides.`,
      );
    const lengths = mapped(vectorLengths(latent), (value) => value + 1e-6);
    const directions = channelsLast(zipped(latent, lengths, (value, length) => value / length));
    const sharp = channelsFirst(convolved(directions, sharpeningKernel(radius, sigma, alpha), radius));
    return zipped(sharp, lengths, (value, length) => value * length);
  };
