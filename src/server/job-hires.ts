/** The second pass of a job: A1111's "hires. fix". */

import { z } from 'zod';
import { type LatentUpscaleMode, latentUpscaleModes } from '../diffusion/latent-upscale.ts';
import { loraUseSchema } from './extra-networks.ts';

const latentModes = Object.keys(latentUpscaleModes) as [LatentUpscaleMode, ...LatentUpscaleMode[]];

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
  upscaler: z.enum(['lanczos', 'nearest', 'bicubic', 'bilinear']),
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
