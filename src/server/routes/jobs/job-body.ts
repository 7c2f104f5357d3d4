/** A job as the jobs API takes and shows it. */

import * as z from 'zod';
import { bounds } from '../../../generation/bounds.ts';
import { plainSeedSchema } from '../../../generation/fields.ts';
import { softInpaintingField } from '../../../generation/mask-fields.ts';
import { tasks } from '../../../generation/request.ts';
import { boundedList } from '../../admission/bounded-list.ts';
import type { ServerContext } from '../../context.ts';
import { draftFields } from '../../decide-job.ts';
import {
  endingOf,
  jobStates,
  outputFormats,
  type Job,
  type JobRequest,
  priorities,
  type WorkflowRequest,
} from '../../job.ts';
import { latentModes, upscaleFilters } from '../../hires.ts';
import { controlBody, imagePromptBody } from '../../job-controls.ts';

/** Below 2^53 a number, above its digits. */
const seed = plainSeedSchema;
const picture = z.string().min(1).describe('base64, a data URL, or the id of a stored picture');

const enlarged = z.int().min(0).max(bounds.side.max);

/** The second pass of a job, "hires. fix". */
const hiresBody = z.strictObject({
  scale: z.number().min(1).max(16).optional().describe('factor of both sides; default: 2'),
  width: enlarged.optional().describe('pixels, instead of scale; 0: in proportion to the height'),
  height: enlarged.optional().describe('pixels, instead of scale; 0: in proportion to the width'),
  strength: z.number().min(0).max(1).default(0.7).describe('share of the noise schedule that the second pass runs'),
  steps: z.int().min(1).optional().describe('default: as in the first pass'),
  upscaler: z.enum(upscaleFilters).default('lanczos'),
  latentMode: z.enum(latentModes).optional().describe('the latent is enlarged instead of the picture'),
  prompt: z.string().optional(),
  negativePrompt: z.string().optional(),
  sampler: z.string().max(200).optional(),
  schedule: z.string().max(200).optional(),
  model: z.string().optional(),
});

/** A job as a caller sends it: fields of a request, each of which may be left out, and those that only a server has. */
export const jobBody = z.object({
  ...draftFields,
  task: z.enum(tasks).optional().describe('default: txt2img'),
  kind: z.enum(tasks).optional().describe('deprecated name of task'),
  model: z.string().optional(),
  prompt: z.string().default(''),
  negativePrompt: z.string().optional(),
  dynamicPrompts: draftFields.dynamicPrompts.describe(
    'the prompts are templates of sd-dynamic-prompts, such as a {red|blue} __animal__; each picture has its own, by its seed',
  ),
  promptSyntax: draftFields.promptSyntax.describe('a1111: (word:1.3), [from:to:0.5], [a|b], AND, BREAK, any length'),
  seed: seed.optional().describe('default: any'),
  variation: z.strictObject({ seed, strength: draftFields.strength.unwrap() }).optional(),
  image: picture.optional(),
  mask: picture.optional(),
  resizeMode: z.enum(['stretch', 'crop', 'fill']).optional(),
  inpaint: z
    .strictObject({
      blur: z.number().min(0).max(256).default(4),
      fill: z.enum(['fill', 'original', 'latent noise', 'latent nothing']).default('original'),
      onlyMaskedPadding: z.int().min(0).max(4096).optional(),
      invert: z.boolean().default(false),
      round: z.boolean().optional().describe('false paints grey parts of the mask in part; default: true'),
      soft: softInpaintingField.optional().describe("A1111's soft inpainting; {} takes its defaults"),
    })
    .optional(),
  control: boundedList(controlBody, bounds.controls.max)
    .optional()
    .describe('ControlNets, T2I-Adapters and style adapters by their names, with pictures'),
  imagePrompts: boundedList(imagePromptBody, bounds.controls.max)
    .optional()
    .describe('IP-Adapters by their names, with pictures'),
  hires: hiresBody.optional().describe('a second pass at a larger size; txt2img only'),
  format: z
    .strictObject({ type: z.enum(outputFormats).default('png'), quality: z.int().min(1).max(100).default(90) })
    .optional(),
  previews: z
    .int()
    .min(0)
    .max(20)
    .optional()
    .describe('number of previews to make; more are made while a client listens to the events'),
  priority: z.enum(priorities).default('normal'),
  webhook: z.string().max(2000).optional().describe('URL to which the job is posted when it has ended'),
});

export const jobView = z.object({
  id: z.string(),
  state: z.enum(jobStates),
  priority: z.enum(priorities),
  createdAt: z.string(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
  attempt: z.int(),
  request: z.record(z.string(), z.unknown()),
  warnings: z.array(z.string()).describe('what was asked for and left out'),
  progress: z.object({ done: z.int(), total: z.int() }).nullable(),
  result: z
    .object({
      images: z.array(z.record(z.string(), z.unknown())),
      maps: z.array(z.string()).optional().describe('ids of the maps of controls'),
      interrupted: z.boolean(),
      seconds: z.number(),
      batch: z.int(),
      workflow: z.unknown().optional(),
    })
    .nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});

const moment = (time: number | undefined): string | null => (time === undefined ? null : new Date(time).toISOString());

/** The caller's view of its job. */
export function viewOf(
  { base }: Pick<ServerContext, 'base'>,
  job: Job,
  progress?: { readonly done: number; readonly total: number },
): z.output<typeof jobView> {
  const { request, result } = job;
  return {
    id: job.id,
    state: job.state,
    priority: job.priority,
    createdAt: new Date(job.createdAt).toISOString(),
    startedAt: moment(job.startedAt),
    finishedAt: moment(job.finishedAt),
    attempt: job.attempt,
    request: request.task === 'workflow' ? workflowView(request) : pictureView(request),
    warnings: request.task === 'workflow' ? [] : (request.warnings ?? []),
    progress: job.state === 'running' && progress ? { done: progress.done, total: progress.total } : null,
    result: result
      ? {
          ...result,
          images: result.images.map((image) => ({
            ...image,
            url: `${base}/api/v1/results/${image.id}.${endingOf(image)}`,
          })),
        }
      : null,
    error: job.error ? { code: job.error.code, message: job.error.message } : null,
  };
}

/** A workflow's own API tells the rest. */
const workflowView = ({ task, promptId, number, outputs }: WorkflowRequest): Record<string, unknown> => ({
  task,
  promptId,
  number,
  outputs,
});

function pictureView(request: JobRequest): Record<string, unknown> {
  const {
    prompts: [prompt = ''],
    seeds: [seed = 0],
    subseeds: [subseed = 0],
    noiseSettings: { subseedStrength = 0, ...noiseSettings } = {},
    warnings: _,
    bodyDigest: _digest,
    ...others
  } = request;
  return {
    ...others,
    prompt,
    seed,
    ...(Object.keys(noiseSettings).length > 0 ? { noiseSettings } : {}),
    iterations: Math.ceil(request.prompts.length / request.batchSize),
    ...(subseedStrength > 0 ? { variation: { seed: subseed, strength: subseedStrength } } : {}),
  };
}
