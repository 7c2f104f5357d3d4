/** The classical ways from a picture and a blur kernel to a small picture (bsrgan_light.py): by order of blurring and shrinking, and the shrinking's kind. `factor` is a whole number from 1. */

import { convolveKernel } from './blur.ts';
import type { Kernel } from './kernel.ts';
import type { FloatImage } from '../../image/float-image.ts';
import { subsample } from './picture.ts';
import { resizeMatlab } from './resize-matlab.ts';

/** Bicubic shrinking alone. */
export function bicubicDegradation(image: FloatImage, factor: number): FloatImage {
  return resizeMatlab(image, 1 / factor);
}

/** Blur, then bicubic shrinking (Zhang et al. 2018, SRMD). */
export function srmdDegradation(image: FloatImage, kernel: Kernel, factor: number): FloatImage {
  return bicubicDegradation(convolveKernel(image, kernel, 'wrap'), factor);
}

/** Bicubic shrinking, then blur (Zhang et al. 2019, DPSR). */
export function dpsrDegradation(image: FloatImage, kernel: Kernel, factor: number): FloatImage {
  return convolveKernel(bicubicDegradation(image, factor), kernel, 'wrap');
}

/** Blur, then every factor-th pixel. */
export function classicalDegradation(image: FloatImage, kernel: Kernel, factor: number): FloatImage {
  return subsample(convolveKernel(image, kernel, 'wrap'), factor);
}
