/** The second pass of a job, A1111's "hires. fix": its schema, and its size. */

import * as z from 'zod';
import { type LatentUpscaleMode, latentUpscaleModes } from '../diffusion/latent-upscale.ts';
import { loraUseSchema } from './extra-networks.ts';

/** Filters that enlarge a picture before its second pass. */
export const upscaleFilters = ['lanczos', 'nearest', 'bicubic', 'bilinear'] as const;

/** Ways to enlarge a latent, by A1111's names. */
export const latentModes = Object.keys(latentUpscaleModes) as [LatentUpscaleMode, ...LatentUpscaleMode[]];

/** A second pass at a larger size. What is left out is as in the first. */
export const hiresSchema = z.object({
  width: z.int().positive(),
  height: z.int().positive(),
  /** Keep the aspect ratio and crop; otherwise stretch. */
  crop: z.boolean().optional(),
  /** The requested size: a factor, or sides of which one may be 0. */
  asked: z.union([z.object({ scale: z.number() }), z.object({ width: z.int(), height: z.int() })]).optional(),
  steps: z.int().positive().optional(),
  strength: z.number().min(0).max(1),
  upscaler: z.enum(upscaleFilters),
  upscalerName: z.string().optional(),
  /** The latent is enlarged instead of the picture. */
  latentMode: z.enum(latentModes).optional(),
  prompt: z.string().optional(),
  negativePrompt: z.string().optional(),
  sampler: z.string().optional(),
  schedule: z.string().optional(),
  /** Extra setting of the infotext. */
  scheduler: z.string().optional(),
  /** A name of the catalogue. */
  model: z.string().optional(),
  /** LoRAs of the second pass, if its prompt or model differs. */
  loras: z.array(loraUseSchema).optional(),
});

type Hires = z.output<typeof hiresSchema>;

/** The second pass as a caller describes it. The size is a factor of the first's, or sides, of which 0 is in proportion to the other. */
export type HiresDraft = Omit<Hires, 'width' | 'height' | 'crop' | 'asked' | 'loras'> & {
  readonly asked: NonNullable<Hires['asked']>;
};

/** A1111's `calculate_target_resolution`: the size of the second pass; two sides are filled, and the rest is cut off. */
export function hiresSize(
  width: number,
  height: number,
  { asked }: HiresDraft,
): { readonly width: number; readonly height: number; readonly crop?: boolean } {
  if ('scale' in asked) return { width: Math.trunc(width * asked.scale), height: Math.trunc(height * asked.scale) };
  if (asked.height === 0) return { width: asked.width, height: Math.floor((asked.width * height) / width) };
  if (asked.width === 0) return { width: Math.floor((asked.height * width) / height), height: asked.height };
  return { ...asked, crop: true };
}

/** The nearest side that the networks can make, but a larger one than the first pass's if a larger one is wanted. */
export function enlargedSide(wanted: number, first: number, unit: number): number {
  const nearest = Math.max(unit, Math.round(wanted / unit) * unit);
  return wanted > first && nearest <= first ? nearest + unit : nearest;
}
