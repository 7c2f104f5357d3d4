/** GenerationRecord: the settings a picture was made with, as they go into its file and come back from it (`sd replay`). */

import { z } from 'zod';
import { pythonFloat, formatInfotext } from '../image/metadata/infotext.ts';
import { emphases } from '../prompt/emphasis.ts';
import { noiseConventions } from '../random/noise-source.ts';

/** Written into every picture. */
export const programName = 'stable-diffusion-ts 0.1.0';

export const recordSchema = z.object({
  version: z.literal(1),
  pipeline: z.enum(['txt2img', 'img2img', 'inpaint']),
  /** Prompts of the whole batch, so that its noise can be drawn again. */
  prompts: z.array(z.string()),
  negativePrompt: z.string(),
  /** Absent for CompVis's, in which brackets are text. */
  promptSyntax: z.literal('a1111').optional(),
  promptSettings: z
    .object({
      emphasis: z.enum(emphases),
      commaBacktrack: z.int().nonnegative(),
      firstPassSteps: z.int().positive(),
      oldScheduling: z.boolean(),
    })
    .partial()
    .optional(),
  classLabels: z.array(z.int().nonnegative()).optional(),
  width: z.int().positive(),
  height: z.int().positive(),
  steps: z.int().positive(),
  sampler: z.string(),
  schedule: z.string().optional(),
  guidanceScale: z.number(),
  eta: z.number().optional(),
  seed: z.int(),
  noise: z.enum(noiseConventions),
  clipSkip: z.int().positive(),
  batchSize: z.int().positive(),
  iterations: z.int().positive(),
  /** Which image of which iteration this is: from 0 and from 1. */
  index: z.int().nonnegative(),
  iteration: z.int().positive(),
  fixedCode: z.boolean(),
  /** Sizes of the batches before this one, whose noise is drawn first; absent where all are of its size. */
  earlierBatches: z.array(z.int().positive()).optional(),
  /** SHA-256 of the start noise, where it was given. */
  startNoise: z.string().optional(),
  strength: z.number().optional(),
  /** InstructPix2Pix models. */
  imageGuidanceScale: z.number().optional(),
  /** SHA-256 of the initial image's and the mask's pixels. */
  initialImage: z.string().optional(),
  mask: z.string().optional(),
  model: z.string(),
  /** Averaged weights were used. */
  ema: z.boolean().optional(),
  /** LoRAs and embeddings: `lora:NAME:0.8`, `embedding:TOKEN`. */
  adapters: z.array(z.string()).optional(),
  /** Precision of the networks. */
  precision: z.enum(['float32', 'float16']),
  watermark: z.boolean(),
  program: z.string(),
});

export type GenerationRecord = z.output<typeof recordSchema>;

/** The record as A1111 writes settings under a picture. */
export function recordInfotext(record: GenerationRecord): string {
  return formatInfotext({
    prompt: record.prompts[record.index % Math.max(1, record.prompts.length)] ?? '',
    negativePrompt: record.negativePrompt,
    settings: [
      ['Steps', record.steps],
      ['Sampler', record.sampler],
      ...(record.schedule === undefined ? [] : [['Schedule type', record.schedule] as const]),
      ['CFG scale', pythonFloat(record.guidanceScale)],
      ['Seed', record.seed],
      ['Size', `${record.width}x${record.height}`],
      ['Model', record.model],
      ...(record.adapters ? [['Adapters', record.adapters.join(', ')] as const] : []),
      ...(record.strength === undefined ? [] : [['Denoising strength', record.strength] as const]),
      ...(record.clipSkip === 1 ? [] : [['Clip skip', record.clipSkip] as const]),
      ...(record.batchSize === 1
        ? []
        : ([
            ['Batch size', record.batchSize],
            ['Batch pos', record.index],
          ] as const)),
      ['Version', record.program],
    ],
  });
}
