/** The upscalers there are: plain resampling. A1111's networks (ESRGAN, SwinIR, …) are not here. */

import { type LatentUpscaleMode, latentUpscaleModes } from '../../../diffusion/latent-upscale.ts';
import { invalidField } from '../../http/problem.ts';
import type { ResizeFilter } from '../../../image/resize.ts';

export const upscalerNames: Readonly<Record<string, 'lanczos' | 'nearest'>> = {
  None: 'lanczos',
  Lanczos: 'lanczos',
  Nearest: 'nearest',
};

/** A1111's names for enlarging a latent, with the filter for models whose latent cannot be enlarged. */
export const latentModes: Readonly<Record<string, Extract<ResizeFilter, 'bilinear' | 'bicubic' | 'nearest'>>> = {
  Latent: 'bilinear',
  'Latent (antialiased)': 'bilinear',
  'Latent (bicubic)': 'bicubic',
  'Latent (bicubic antialiased)': 'bicubic',
  'Latent (nearest)': 'nearest',
  'Latent (nearest-exact)': 'nearest',
};

/** The way in which the latent is enlarged; undefined for an upscaler of pictures. */
export function latentModeNamed(name: string): LatentUpscaleMode | undefined {
  return Object.hasOwn(latentUpscaleModes, name) ? (name as LatentUpscaleMode) : undefined;
}

/** Throws `invalid-argument` at the field. */
export function upscalerNamed(name: string, where: readonly string[]): 'lanczos' | 'nearest' | 'bilinear' | 'bicubic' {
  const all = { ...upscalerNames, ...latentModes };
  const found = Object.hasOwn(all, name) ? all[name] : undefined;
  if (!found)
    throw invalidField(
      where,
      `could not find upscaler named ${name.slice(0, 100)}; there are: ${Object.keys(all).join(', ')}`,
    );
  return found;
}
