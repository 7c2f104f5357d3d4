/** Takes a job in: what was left open is decided (model, size, seeds), limits are checked, and it goes into the queue. */

import { randomUUID } from 'node:crypto';
import { namedSampling } from '../diffusion/sampler-names.ts';
import { StableDiffusionError } from '../errors.ts';
import type { NoiseConvention } from '../random/noise-source.ts';
import { workOf } from './admission/work.ts';
import type { ServerContext } from './context.ts';
import { parseExtraNetworks } from './extra-networks.ts';
import { atField, invalidField } from './http/problem.ts';
import { type Job, type JobRequest, jobRequestSchema, type NewJob } from './job.ts';

/** A job as a caller describes it; what is undefined is decided here. */
export interface JobDraft {
  readonly kind: JobRequest['kind'];
  readonly model?: string | undefined;
  readonly prompt: string;
  readonly negativePrompt?: string | undefined;
  readonly promptSyntax?: 'plain' | 'a1111' | undefined;
  /** Negative or undefined: any. */
  readonly seed?: number | undefined;
  readonly subseed?: number | undefined;
  readonly subseedStrength?: number | undefined;
  readonly batchSize?: number | undefined;
  readonly iterations?: number | undefined;
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly steps?: number | undefined;
  readonly sampler?: string | undefined;
  readonly schedule?: string | undefined;
  readonly guidanceScale?: number | undefined;
  readonly noise?: NoiseConvention | undefined;
  readonly strength?: number | undefined;
  /** Ids in the store. */
  readonly image?: string | undefined;
  readonly mask?: string | undefined;
  readonly hires?: HiresDraft | undefined;
  readonly format?: JobRequest['format'] | undefined;
  readonly previews?: number | undefined;
  readonly rest?: Partial<
    Pick<
      JobRequest,
      | 'clipSkip'
      | 'eta'
      | 'churn'
      | 'seedResizeFrom'
      | 'seedDelta'
      | 'resizeMode'
      | 'inpaint'
      | 'imageGuidanceScale'
      | 'scheduler'
      | 'promptSettings'
    >
  >;
}

/** The second pass. The size is a factor of the first's, or sides, of which 0 is in proportion to the other. */
export type HiresDraft = Omit<NonNullable<JobRequest['hires']>, 'width' | 'height' | 'crop' | 'asked' | 'loras'> & {
  readonly asked: NonNullable<NonNullable<JobRequest['hires']>['asked']>;
};

/** Names of the fields in the caller's API, for errors. */
export type FieldNames = Partial<Record<keyof JobDraft, string>>;

export interface Submission extends Pick<NewJob, 'owner' | 'source' | 'priority'> {
  readonly draft: JobDraft;
  readonly fields?: FieldNames;
  /** Made from what the caller gives to send a request twice without having it done twice. */
  readonly id?: string;
}

/** Seeds are drawn from A1111's range. */
const seedLimit = 2 ** 32 - 1;

/** A1111's `calculate_target_resolution`: the size of the second pass; both sides together are filled, and what stands over is cut. */
function hiresSize(
  width: number,
  height: number,
  { asked }: HiresDraft,
): { readonly width: number; readonly height: number; readonly crop?: boolean } {
  if ('scale' in asked) return { width: Math.trunc(width * asked.scale), height: Math.trunc(height * asked.scale) };
  if (asked.height === 0) return { width: asked.width, height: Math.floor((asked.width * height) / width) };
  if (asked.width === 0) return { width: Math.floor((asked.height * width) / height), height: asked.height };
  return { ...asked, crop: true };
}

async function decide(
  { limits, models, catalog, adapters, random }: ServerContext,
  draft: JobDraft,
  fields: FieldNames,
  source: NewJob['source'],
): Promise<JobRequest> {
  const at = (field: keyof JobDraft): readonly string[] => ['body', fields[field] ?? field];
  const within = (field: keyof JobDraft, value: number, least: number, most: number): number => {
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw invalidField(at(field), `ensure this value is a whole number from ${least} to ${most}`);
  };
  const entry = await atField(at('model'), () => catalog.find(draft.model));
  const { nativeSize, unit, readsPromptSyntax } = await models.facts(entry.name);
  // A1111's clients write its syntax always; it is an error only where somebody asks for it.
  const promptSyntax = draft.promptSyntax === 'a1111' && (readsPromptSyntax || source !== 'a1111') ? 'a1111' : 'plain';
  if (promptSyntax === 'a1111' && !readsPromptSyntax)
    throw invalidField(
      at('promptSyntax'),
      `${entry.name} has no CLIP text encoder, which A1111's prompt syntax is for`,
    );
  for (const field of ['prompt', 'negativePrompt'] as const) {
    if (Math.max((draft[field] ?? '').length, (draft.hires?.[field] ?? '').length) > limits.promptLength)
      throw invalidField(at(field), `ensure this value has at most ${limits.promptLength} characters`);
  }
  const batchSize = within('batchSize', draft.batchSize ?? 1, 1, limits.pictures);
  const iterations = within('iterations', draft.iterations ?? 1, 1, limits.pictures);
  if (batchSize * iterations > limits.pictures)
    throw invalidField(at('iterations'), `ensure that no more than ${limits.pictures} pictures are asked for at once`);
  const steps = within('steps', draft.steps ?? 20, 1, limits.steps);
  // Sides that the networks cannot make are cut to the next that they can.
  const side = (field: 'width' | 'height', value: number): number => within(field, value, unit, 16384) - (value % unit);
  const width = side('width', draft.width ?? nativeSize);
  const height = side('height', draft.height ?? nativeSize);
  const checkArea = (w: number, h: number): void => {
    if (w * h > limits.pixels)
      throw invalidField(at('width'), `ensure that width times height is at most ${limits.pixels}`);
  };
  checkArea(width, height);
  const sampler = draft.sampler ?? 'Euler a';
  const noise = draft.noise ?? 'a1111-cpu';
  const peer = noise === 'comfy' ? 'comfy' : noise.startsWith('a1111') ? 'a1111' : undefined;
  await atField(at('sampler'), () => namedSampling(sampler, { peer }));
  if (draft.schedule !== undefined)
    await atField(at('schedule'), () => namedSampling(sampler, { peer, schedule: draft.schedule }));
  const finite = (field: keyof JobDraft, value: number, least: number, most: number): number => {
    if (value >= least && value <= most) return value;
    throw invalidField(at(field), `ensure this value is from ${least} to ${most}`);
  };
  const anySeed = (seed: number | undefined): number => {
    if (seed === undefined || seed < 0) return random(seedLimit);
    return seed;
  };
  const seed = within('seed', anySeed(draft.seed), 0, Number.MAX_SAFE_INTEGER - limits.pictures);
  const subseed = within('subseed', anySeed(draft.subseed), 0, Number.MAX_SAFE_INTEGER - limits.pictures);
  const subseedStrength = finite('subseedStrength', draft.subseedStrength ?? 0, 0, 1);
  const count = batchSize * iterations;
  const { hires } = draft;
  // As there: those that are not found are left out, and so is one without effect.
  const known = new Set(adapters.loras().map(({ name }) => name));
  const lorasOf = (prompt: string) =>
    parseExtraNetworks(prompt, promptSyntax).loras.filter(
      ({ name, scale, textScale }) => known.has(name) && (scale !== 0 || textScale !== 0),
    );
  const loras = lorasOf(draft.prompt);
  const resized = draft.rest?.seedResizeFrom;
  if (resized && resized.width * resized.height > limits.pixels)
    throw invalidField(['body', 'seed_resize_from_w'], `ensure that width times height is at most ${limits.pixels}`);
  const enlarged = hires && {
    ...hires,
    ...hiresSize(width, height, hires),
    ...(hires.steps === undefined ? {} : { steps: within('hires', hires.steps, 1, limits.steps) }),
    strength: finite('strength', hires.strength, 0, 1),
    ...(hires.prompt === undefined && hires.model === undefined
      ? {}
      : { loras: lorasOf(hires.prompt ?? draft.prompt) }),
  };
  if (enlarged) {
    const { unit: hiresUnit } = await models.facts(enlarged.model ?? entry.name);
    for (const field of ['width', 'height'] as const)
      enlarged[field] = within(field, enlarged[field], hiresUnit, 16384) - (enlarged[field] % hiresUnit);
    checkArea(enlarged.width, enlarged.height);
  }
  const request: JobRequest = {
    kind: draft.kind,
    model: entry.name,
    prompts: Array.from({ length: count }, () => draft.prompt),
    negativePrompt: draft.negativePrompt ?? '',
    ...(promptSyntax === 'a1111' ? { promptSyntax } : {}),
    ...(loras.length > 0 ? { loras } : {}),
    seeds: Array.from({ length: count }, (_, i) => seed + (subseedStrength === 0 ? i : 0)),
    subseeds: Array.from({ length: count }, (_, i) => subseed + i),
    subseedStrength,
    batchSize,
    width,
    height,
    steps,
    sampler,
    guidanceScale: finite('guidanceScale', draft.guidanceScale ?? 7, -100, 100),
    noise,
    format: draft.format ?? { type: 'png', quality: 90 },
    previews: within('previews', draft.previews ?? 0, 0, 20),
    schedule: draft.schedule,
    ...(draft.strength === undefined ? {} : { strength: finite('strength', draft.strength, 0, 1) }),
    image: draft.image,
    mask: draft.mask,
    ...(enlarged ? { hires: enlarged } : {}),
    ...draft.rest,
    clipSkip: draft.rest?.clipSkip ?? 1,
  };
  const work = workOf(request);
  if (work > limits.jobWork)
    throw invalidField(
      at('steps'),
      `ensure that steps x width x height x pictures (twice with guidance) is at most ${limits.jobWork}; it is ${work}`,
    );
  return jobRequestSchema.parse(request);
}

/** Accepts a job; it is in the queue when this returns. Throws `invalid-argument` and others at a field, `busy`, `not-found`. */
export async function acceptJob(
  context: ServerContext,
  { owner, source, priority, draft, fields = {}, id = randomUUID() }: Submission,
): Promise<Job> {
  const { queue, limits, metrics, watch } = context;
  if (context.isStopping())
    throw new StableDiffusionError('busy', 'The server is shutting down.', { details: { scope: 'shutdown' } });
  const request = await decide(context, draft, fields, source);
  try {
    const job = await queue.add({ id, owner, source, priority, request }, limits);
    metrics.accepted(source);
    watch.track(job);
    return job;
  } catch (error) {
    if (error instanceof StableDiffusionError && error.code === 'busy') metrics.refused(String(error.details['scope']));
    throw error;
  }
}

/** Waits for a job's pictures. A client that goes takes its job with it. Throws what the job failed with. */
export async function awaitJob(
  context: ServerContext,
  job: Job,
  signal: AbortSignal,
): Promise<Job & { readonly result: NonNullable<Job['result']> }> {
  const { watch, queue } = context;
  let ended: Job;
  try {
    ended = await watch.finished(job, signal);
  } catch (error) {
    if (signal.aborted) await queue.cancel(job.id);
    throw error;
  }
  const { result, error, state } = ended;
  if (state === 'done' && result) return { ...ended, result };
  if (state === 'cancelled') throw new StableDiffusionError('aborted', 'The job was cancelled.');
  const code = (error?.code ?? 'engine-failed') as StableDiffusionError['code'];
  throw new StableDiffusionError(code, error?.message ?? 'The job failed.');
}
