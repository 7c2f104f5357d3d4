/** Job: a caller's request with everything decided (seeds, model, size), and its outcome. Plain JSON, because it is stored in a journal. */

import * as z from 'zod';
import { bounds } from '../generation/bounds.ts';
import { openFields, plainSeedSchema, real, whole } from '../generation/fields.ts';
import { type GenerationRequest, requestSchemas, tasks } from '../generation/request.ts';
import { namedSampling, samplerPeerOf } from '../diffusion/sampler-names.ts';
import { noiseConventions } from '../random/noise-source.ts';
import { loraUseSchema } from './extra-networks.ts';
import { hiresSchema } from './hires.ts';
import { jobControlFields } from './job-controls.ts';
import { inpaintSchema } from './job-inpaint.ts';
import { restoreFacesSchema } from './models/face-networks.ts';
import { blobIdSchema } from './store/blob-store.ts';
import { upgradeJobRequest } from './upgrade-job.ts';

export const priorities = ['high', 'normal', 'low'] as const;
export type Priority = (typeof priorities)[number];

export const jobStates = ['queued', 'running', 'done', 'failed', 'cancelled'] as const;
export type JobState = (typeof jobStates)[number];

export const outputFormats = ['png', 'jpeg', 'webp'] as const;

const { shape } = requestSchemas.img2img;

/** Fields of a request that a job takes over as they are, from any of the three APIs. */
export const takenFields = {
  promptSettings: shape.promptSettings,
  classLabels: shape.classLabels,
  boxes: shape.boxes,
  boxClasses: shape.boxClasses,
  clipSkip: shape.clipSkip,
  secondPrompt: shape.secondPrompt,
  secondNegativePrompt: shape.secondNegativePrompt,
  emptyNegative: shape.emptyNegative,
  sizeConditions: shape.sizeConditions,
  /** A name of the catalogue. */
  refiner: shape.refiner,
  refinerSwitchAt: shape.refinerSwitchAt,
  refinerSwitchBySteps: shape.refinerSwitchBySteps,
  preset: shape.preset,
  steps: shape.steps,
  sampler: shape.sampler,
  schedule: shape.schedule,
  scheduleSettings: shape.scheduleSettings,
  eta: shape.eta,
  quantizeDenoised: shape.quantizeDenoised,
  samplerSettings: shape.samplerSettings,
  guidanceScale: shape.guidanceScale,
  guidanceRescale: shape.guidanceRescale,
  noiseLevel: shape.noiseLevel,
  freeU: shape.freeU,
  selfAttentionGuidance: shape.selfAttentionGuidance,
  perturbedAttention: shape.perturbedAttention,
  tokenMerging: shape.tokenMerging,
  deepCache: shape.deepCache,
  seamless: shape.seamless,
  imageGuidanceScale: shape.imageGuidanceScale,
  noise: shape.noise,
  width: shape.width,
  height: shape.height,
  bytes: shape.bytes,
  patches: shape.patches,
  strength: shape.strength,
  strengthRule: shape.strengthRule,
  initialNoise: shape.initialNoise,
  outpaint: shape.outpaint,
  colorCorrection: shape.colorCorrection,
  controlRule: shape.controlRule,
};
const taken = openFields(takenFields);

/** A request as a job holds it: one prompt and one seed for each picture, sizes and sampler decided, and what only a server has. */
const currentRequest = z.object({
  ...taken,
  task: z.enum(tasks),
  /** A name of the catalogue. */
  model: z.string(),
  /** One for each picture. */
  prompts: z.array(z.string()).min(1),
  negativePrompt: z.string(),
  /** Absent for plain text. */
  promptSyntax: z.literal('a1111').optional(),
  /** A separate autoencoder of the catalogue, in place of the model's own. */
  vae: z.string().max(1000).optional(),
  /** LoRAs of the prompts. */
  loras: z.array(loraUseSchema).optional(),
  /** What was asked for and left out, in words. */
  warnings: z.array(z.string()).optional(),
  /** Address of the webhook that hears of the job's end. */
  webhook: z.string().max(2000).optional(),
  /** SHA-256 of the caller's body, of a job with an `Idempotency-Key`. */
  bodyDigest: z.string().optional(),
  /** One for each picture. */
  seeds: z.array(plainSeedSchema).min(1),
  /** Seed of the variation of each picture. */
  subseeds: z.array(plainSeedSchema).min(1),
  /** Of a request, without the seed of the variation. */
  noiseSettings: z.custom<GenerationRequest['noiseSettings']>().optional(),
  /** Pictures per iteration, which `skip` skips. */
  batchSize: z.int().positive(),
  width: whole(bounds.side),
  height: whole(bounds.side),
  steps: whole(bounds.steps),
  sampler: z.string(),
  guidanceScale: real(bounds.guidance),
  noise: z.enum(noiseConventions),
  clipSkip: whole(bounds.clipSkip),
  /** The initial picture and the mask, in the store. */
  image: blobIdSchema.optional(),
  mask: blobIdSchema.optional(),
  /** The initial picture of each picture of a batch; `image` is the first. */
  images: z.array(blobIdSchema).min(2).max(1024).optional(),
  /** Colour behind the transparent parts of the initial picture, `#rrggbb`. Default white. */
  background: z
    .string()
    .regex(/^#[0-9a-f]{6}$/)
    .optional(),
  /** How a picture with a different aspect ratio is fitted. */
  resizeMode: z.enum(['stretch', 'crop', 'fill']).optional(),
  inpaint: inpaintSchema.optional(),
  /** Sizes of the parts that outpainting paints for each picture. */
  parts: z
    .array(z.object({ width: z.int(), height: z.int() }))
    .max(4096)
    .optional(),
  restoreFaces: restoreFacesSchema.optional(),
  /** A second pass at a larger size. */
  hires: hiresSchema.optional(),
  ...jobControlFields,
  format: z.object({ type: z.enum(outputFormats), quality: z.int().min(1).max(100) }),
  /** How many previews to make on the way; more are made while a client watches. */
  previews: z.int().nonnegative(),
  /** A1111's name of the schedule, for the infotext. */
  scheduler: z.string().optional(),
});

/** Reads requests of this version and of earlier ones. */
export const jobRequestSchema = z.preprocess(upgradeJobRequest, currentRequest);

export type JobRequest = z.output<typeof currentRequest>;

/** A workflow in ComfyUI's API format. Texts of JSON stay texts: their whole numbers go up to 2^64. */
export const workflowRequestSchema = z.object({
  task: z.literal('workflow'),
  /** The caller's name of it, which its messages and its history have. */
  promptId: z.string(),
  /** ComfyUI's place in the queue. */
  number: z.number(),
  /** Whose socket gets its messages; undefined: everybody's of the caller. */
  clientId: z.string().optional(),
  /** The nodes. */
  prompt: z.string(),
  /** `extra_data`: what pictures keep besides the nodes. */
  extra: z.string(),
  workflowId: z.string().optional(), // the id that ComfyUI's page gave it, which is in `extra` too
  /** Output nodes to run. */
  outputs: z.array(z.string()),
  /** Intermediate pictures: made by the latent's colours alone. */
  previews: z.boolean(),
  /** Work for fair shares, estimated from the nodes. */
  work: z.number().nonnegative(),
});

export type WorkflowRequest = z.output<typeof workflowRequestSchema>;

export const resultImageSchema = z.object({
  /** SHA-256 of the file: its name in the store. */
  id: blobIdSchema,
  mediaType: z.string(),
  width: z.int(),
  height: z.int(),
  seed: plainSeedSchema,
  subseed: plainSeedSchema,
  prompt: z.string(),
  /** A1111's settings text. */
  infotext: z.string(),
  /** The safety checker's verdict; a flagged picture is black. */
  flagged: z.boolean().optional(),
});

/** How a workflow ended, as ComfyUI's history tells it. */
export const workflowResultSchema = z.object({
  status: z.enum(['success', 'error']),
  /** What output nodes show, by node. */
  outputs: z.record(z.string(), z.unknown()),
  /** Messages of its start and end, with their times. */
  messages: z.array(z.tuple([z.string(), z.record(z.string(), z.unknown())])),
});

export type WorkflowOutcome = z.output<typeof workflowResultSchema>;

export const jobResultSchema = z.object({
  images: z.array(resultImageSchema),
  /** Maps of its controls, in the store, as PNG. */
  maps: z.array(blobIdSchema).optional(),
  /** Stopped before its end: pictures are unfinished or missing. */
  interrupted: z.boolean(),
  modelHash: z.string().nullable(),
  /** Seconds in the engine and around it. */
  seconds: z.number(),
  /** Pictures of all jobs that were made in the same run. */
  batch: z.int(),
  /** Of a workflow, which has no `images` of its own: its files lie in the caller's folders. */
  workflow: workflowResultSchema.optional(),
});

export type ResultImage = z.output<typeof resultImageSchema>;
export type JobResult = z.output<typeof jobResultSchema>;

const endings: Readonly<Record<string, string>> = { 'image/png': 'png', 'image/jpeg': 'jpg', 'image/webp': 'webp' };

/** The ending of a picture's name in links to it. */
export const endingOf = ({ mediaType }: ResultImage): string => endings[mediaType] ?? 'png';

export interface JobError {
  readonly code: string;
  readonly message: string;
  /** How far a workflow came. */
  readonly workflow?: WorkflowOutcome;
}

export interface NewJob {
  /** Chosen by the submitter: adding the same id again returns the existing job. */
  readonly id: string;
  /** Owner: the name of an API key. */
  readonly owner: string;
  /** The surface it came by. */
  readonly source: 'a1111' | 'openai' | 'gemini' | 'comfyui' | 'jobs';
  readonly priority: Priority;
  readonly request: JobRequest | WorkflowRequest;
  /** Id of a waiting job of the same caller and priority that this one goes ahead of. */
  readonly before?: string | undefined;
}

export interface Job extends NewJob {
  readonly state: JobState;
  /** Number of attempts. */
  readonly attempt: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  readonly result?: JobResult;
  readonly error?: JobError;
}

/** A job that makes pictures of a request; others run a workflow. */
export type PictureJob = Job & { readonly request: JobRequest };
export type WorkflowJob = Job & { readonly request: WorkflowRequest };

export const isWorkflowJob = (job: Job): job is WorkflowJob => job.request.task === 'workflow';
export const isPictureJob = (job: Job): job is PictureJob => !isWorkflowJob(job);

/** How many pictures a job counts for where jobs are taken together. A workflow always runs alone. */
export const pictureCount = ({ request }: Pick<NewJob, 'request'>): number =>
  request.task === 'workflow' ? 1 : request.prompts.length;

export const isFinished = (job: Job): boolean =>
  job.state === 'done' || job.state === 'failed' || job.state === 'cancelled';

/** Whether a sampler chooses its steps itself, by all pictures of the batch together. */
export function choosesSteps({ sampler, noise }: Pick<JobRequest, 'sampler' | 'noise'>): boolean {
  return namedSampling(sampler, { peer: samplerPeerOf(noise) }).sampler.choosesSteps ?? false;
}

/**
 * Jobs with the same key may be made in one run of the program, each picture being what it would be alone. Two things make that so: noise
 * that is drawn for each picture from its own seed, and a sampler that treats each picture independently. Others get a unique key.
 */
export function batchKey(job: NewJob): string {
  const { request: r } = job;
  if (r.task === 'workflow') return job.id;
  const alone =
    r.task !== 'txt2img' ||
    (r.noiseSettings?.subseedStrength ?? 0) > 0 ||
    r.hires !== undefined ||
    r.control !== undefined ||
    r.imagePrompts !== undefined ||
    r.noise === 'compvis' ||
    r.noise === 'comfy' ||
    choosesSteps(r);
  if (alone) return job.id;
  const fields = Object.keys(takenFields) as (keyof typeof takenFields)[];
  return JSON.stringify([
    r.model,
    r.loras,
    r.vae,
    r.noiseSettings,
    r.promptSyntax,
    r.restoreFaces,
    ...fields.map((field) => r[field]),
  ]);
}
