/** From what a caller describes to a job in which everything is decided: model, size, seeds, LoRAs. Limits are checked on the way. */

import type { CheckpointFacts } from '../model/checkpoint-facts.ts';
import * as z from 'zod';
import { namedSampling, samplerPeerOf } from '../diffusion/sampler-names.ts';
import { bounds } from '../generation/bounds.ts';
import { openFields } from '../generation/fields.ts';
import { type PlainSeed, plainSeed, seedOf } from '../random/plain-seed.ts';
import { presetDefaults } from '../generation/presets.ts';
import { requestSchemas } from '../generation/request.ts';
import { workOf } from './admission/work.ts';
import type { ServerContext } from './context.ts';
import { type ControlledDraft, type ControlPlace, decideControls } from './decide-controls.ts';
import { adaptersOf } from './decide-adapters.ts';
import { picturePrompts } from './picture-prompts.ts';
import { outpaintParts } from './decide-outpaint.ts';
import { enlargedSide, type HiresDraft, hiresSize } from './hires.ts';
import { checkTask } from './check-task.ts';
import { sizeWarnings } from './size-warnings.ts';
import { atField, invalidField } from './http/problem.ts';
import { type JobRequest, jobRequestSchema, type NewJob, takenFields } from './job.ts';
import { definedFields } from '../config/defined-fields.ts';

type Hires = NonNullable<JobRequest['hires']>;

const { shape } = requestSchemas.img2img;

/** Fields of a request that a caller may give or leave open. */
export const draftFields = openFields({
  ...takenFields,
  promptSyntax: shape.promptSyntax,
  seed: shape.seed,
  noiseSettings: shape.noiseSettings,
  batchSize: shape.batchSize,
  iterations: shape.iterations,
  /** Prompts are templates of sd-dynamic-prompts, and each picture has its own, by its seed. */
  dynamicPrompts: z.boolean().optional(),
});
const draftSchema = z.object(draftFields);

/** A job as a caller describes it; what is undefined is decided here. */
export interface JobDraft extends z.output<typeof draftSchema> {
  readonly task: JobRequest['task'];
  readonly model?: string | undefined;
  readonly prompt: string;
  readonly negativePrompt?: string | undefined;
  /** Undefined: any seed. */
  readonly subseed?: PlainSeed | undefined;
  readonly subseedStrength?: number | undefined;
  /** Ids in the store. */
  readonly image?: string | undefined;
  readonly mask?: string | undefined;
  readonly images?: readonly string[] | undefined;
  readonly resizeMode?: JobRequest['resizeMode'];
  readonly inpaint?: JobRequest['inpaint'];
  readonly hires?: HiresDraft | undefined;
  /** A name of the catalogue of autoencoders. */
  readonly vae?: string | undefined;
  readonly background?: JobRequest['background'];
  readonly restoreFaces?: JobRequest['restoreFaces'];
  readonly control?: ControlledDraft['control'];
  readonly imagePrompts?: ControlledDraft['imagePrompts'];
  readonly format?: JobRequest['format'] | undefined;
  readonly previews?: number | undefined;
  readonly scheduler?: string | undefined;
  /** Address of the webhook that hears of the job's end. */
  readonly webhook?: string | undefined;
}

/** Names of the fields in the caller's API, for errors. */
export type FieldNames = Partial<Record<keyof JobDraft, string>>;

/** Drawn seeds are in A1111's range. */
const drawnSeedLimit = 2 ** 32 - 1;
const highestSeed = 2n ** 64n - 1n;

/** What the server takes where neither the caller nor the model says anything. */
const serverDefaults = {
  steps: 20,
  sampler: 'Euler a',
  guidanceScale: 7,
  noise: 'a1111-cpu',
  clipSkip: 1,
  batchSize: 1,
  iterations: 1,
  previews: 0,
} as const;

/** Checks of single fields, whose errors name the field as the caller's API does. */
function checksOf(fields: FieldNames) {
  const at = (field: keyof JobDraft): readonly string[] => ['body', fields[field] ?? field];
  return {
    at,
    whole(field: keyof JobDraft, value: number, least: number, most: number): number {
      if (Number.isInteger(value) && value >= least && value <= most) return value;
      throw invalidField(at(field), `ensure this value is a whole number from ${least} to ${most}`);
    },
    real(field: keyof JobDraft, value: number, least: number, most: number): number {
      if (value >= least && value <= most) return value;
      throw invalidField(at(field), `ensure this value is from ${least} to ${most}`);
    },
  };
}
type Checks = ReturnType<typeof checksOf>;

interface Decision {
  readonly context: ServerContext;
  readonly draft: JobDraft;
  readonly checks: Checks;
  readonly facts: CheckpointFacts;
  readonly promptSyntax: 'plain' | 'a1111';
}

/** A1111's clients always write its syntax; it is an error only if a caller of another API asks for it. */
function syntaxOf(
  draft: JobDraft,
  facts: CheckpointFacts,
  source: NewJob['source'],
  { at }: Checks,
): 'plain' | 'a1111' {
  if (draft.promptSyntax !== 'a1111') return 'plain';
  if (facts.readsPromptSyntax) return 'a1111';
  if (source === 'a1111') return 'plain';
  throw invalidField(at('promptSyntax'), "the model has no CLIP text encoder, which A1111's prompt syntax needs");
}

function checkPrompts({ context: { limits }, draft, checks }: Decision): void {
  for (const field of ['prompt', 'negativePrompt'] as const) {
    if (Math.max((draft[field] ?? '').length, (draft.hires?.[field] ?? '').length) > limits.promptLength)
      throw invalidField(checks.at(field), `ensure this value has at most ${limits.promptLength} characters`);
  }
}

/** The same for what templates made. */
function checkMade({ context: { limits }, checks }: Decision, texts: readonly string[]): void {
  if (texts.some((text) => text.length > limits.promptLength))
    throw invalidField(checks.at('prompt'), `ensure that the template makes at most ${limits.promptLength} characters`);
}

function checkArea({ context: { limits }, checks }: Decision, width: number, height: number): void {
  if (width * height > limits.pixels)
    throw invalidField(checks.at('width'), `ensure that width times height is at most ${limits.pixels}`);
}

/** The size, cut to sides that the networks can make. */
function sizeOf(decision: Decision): { readonly width: number; readonly height: number } {
  const { draft, checks, facts } = decision;
  const { nativeSize, unit, recommended } = facts;
  const side = (field: 'width' | 'height'): number => {
    const value = checks.whole(field, draft[field] ?? recommended[field] ?? nativeSize, unit, bounds.side.max);
    return value - (value % unit);
  };
  const [width, height] = [side('width'), side('height')];
  checkArea(decision, width, height);
  return { width, height };
}

/** Each picture's seeds: of its noise, and of its variation. With a variation all pictures have one seed, as in A1111. */
function seedsOf({ context: { random }, draft, checks }: Decision, count: number, strength: number) {
  const listed = (field: 'seed' | 'subseed', step: number): PlainSeed[] => {
    const first = BigInt(seedOf(draft[field] ?? random(drawnSeedLimit)));
    if (first + BigInt((count - 1) * step) > highestSeed)
      throw invalidField(checks.at(field), 'ensure that the seeds of all pictures are below 2^64');
    return Array.from({ length: count }, (_, i) => plainSeed(first + BigInt(i * step)));
  };
  return { seeds: listed('seed', strength === 0 ? 1 : 0), subseeds: listed('subseed', 1) };
}

async function hiresOf(
  decision: Decision,
  model: string,
  first: { readonly width: number; readonly height: number },
): Promise<Hires | undefined> {
  const { context, draft, checks } = decision;
  const { hires } = draft;
  if (!hires) return undefined;
  const { width, height, crop } = hiresSize(first.width, first.height, hires);
  const { unit } = await context.models.facts(hires.model ?? model, draft.vae);
  const side = (field: 'width' | 'height', wanted: number): number =>
    enlargedSide(checks.whole(field, wanted, 1, bounds.side.max), first[field], unit);
  const size = { width: side('width', width), height: side('height', height) };
  checkArea(decision, size.width, size.height);
  return {
    ...hires,
    ...size,
    crop,
    steps: hires.steps === undefined ? undefined : checks.whole('hires', hires.steps, 1, context.limits.steps),
    strength: checks.real('strength', hires.strength, 0, 1),
    loras:
      hires.prompt === undefined && hires.model === undefined
        ? undefined
        : [...adaptersOf(decision, [hires.prompt ?? draft.prompt], checks.at('prompt')).loras],
  };
}

/** The sampler and its schedule, by names that exist. */
async function samplingOf(
  sampler: string,
  { schedule }: JobDraft,
  noise: JobRequest['noise'],
  { at }: Checks,
): Promise<void> {
  const peer = samplerPeerOf(noise);
  await atField(at('sampler'), () => namedSampling(sampler, { peer }));
  if (schedule !== undefined) await atField(at('schedule'), () => namedSampling(sampler, { peer, schedule }));
}

/** Noise settings of the job, without the seed of the variation, which each picture has. */
function noiseSettingsOf({ context: { limits }, draft, checks }: Decision): JobRequest['noiseSettings'] {
  const { subseed: _, ...rest } = draft.noiseSettings ?? {};
  const subseedStrength = checks.real('subseedStrength', draft.subseedStrength ?? rest.subseedStrength ?? 0, 0, 1);
  const resized = rest.seedResizeFrom;
  if (resized && resized.width * resized.height > limits.pixels)
    throw invalidField(checks.at('noiseSettings'), `ensure that width times height is at most ${limits.pixels}`);
  const settings = { ...rest, ...(subseedStrength > 0 ? { subseedStrength } : { subseedStrength: undefined }) };
  return Object.values(settings).some((value) => value !== undefined) ? definedFields(settings) : undefined;
}

/** Decides a job. Throws `invalid-argument` and others at a field. */
export async function decideJob(
  context: ServerContext,
  given: JobDraft,
  fields: FieldNames,
  source: NewJob['source'],
  controlPlace?: ControlPlace,
): Promise<JobRequest> {
  const { limits, models, catalog } = context;
  const checks = checksOf(fields);
  const entry = await atField(checks.at('model'), () => catalog.find(given.model));
  const facts = await models.facts(entry.name, given.vae);
  const refiner =
    given.refiner === undefined ? undefined : await atField(checks.at('refiner'), () => catalog.find(given.refiner));
  const defaults = presetDefaults({ ...serverDefaults, ...facts.recommended }, given) as typeof serverDefaults;
  const draft = { ...defaults, ...definedFields(given) };
  const promptSyntax = syntaxOf(draft, facts, source, checks);
  const decision: Decision = { context, draft, checks, facts, promptSyntax };
  checkTask(draft.task, facts, entry.name, checks.at('model'));
  checkPrompts(decision);
  const batchSize = checks.whole('batchSize', draft.batchSize, 1, limits.pictures);
  const count = batchSize * checks.whole('iterations', draft.iterations, 1, limits.pictures);
  if (count > limits.pictures)
    throw invalidField(checks.at('iterations'), `ensure that no more than ${limits.pictures} pictures are requested`);
  checks.whole('steps', draft.steps, 1, limits.steps);
  const size = sizeOf(decision);
  const { noise, sampler } = draft;
  await samplingOf(sampler, draft, noise, checks);
  checks.real('guidanceScale', draft.guidanceScale, -100, 100);
  if (draft.strength !== undefined) checks.real('strength', draft.strength, 0, 1);
  const noiseSettings = noiseSettingsOf(decision);
  const { hires: _h, prompt: _p, seed: _s, subseed: _u, subseedStrength: _t, iterations: _i, ...others } = draft;
  const { dynamicPrompts: _d, ...rest } = others;
  const seeds = seedsOf(decision, count, noiseSettings?.subseedStrength ?? 0);
  const first = seeds.seeds[0] ?? 0;
  const texts = await atField(checks.at('prompt'), () => picturePrompts(draft, { first, count }, context.wildcards));
  checkMade(decision, [...texts.prompts, texts.negativePrompt]);
  const { loras, warnings: left } = adaptersOf(decision, texts.prompts, checks.at('prompt'));
  const second = await hiresOf(decision, entry.name, size);
  const warnings = [...left, ...sizeWarnings(given, size, facts.unit, second)];
  const parsed = jobRequestSchema.safeParse({
    ...rest,
    ...size,
    ...seeds,
    model: entry.name,
    refiner: refiner?.name,
    ...texts,
    promptSyntax: promptSyntax === 'a1111' ? promptSyntax : undefined,
    loras: loras.length > 0 ? loras : undefined,
    warnings: warnings.length > 0 ? warnings : undefined,
    noiseSettings,
    batchSize,
    format: draft.format ?? { type: 'png', quality: 90 },
    previews: checks.whole('previews', draft.previews, 0, 20),
    hires: second,
    ...(await outpaintParts(context, draft, size, facts, checks.at('outpaint'))),
    ...(await decideControls(context, draft, controlPlace)),
  });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const [field = 'prompt'] = issue?.path ?? [];
    throw invalidField(checks.at(field as keyof JobDraft), issue?.message ?? 'this value is invalid');
  }
  const request = parsed.data;
  const work = workOf(request);
  if (work > limits.jobWork)
    throw invalidField(
      checks.at('steps'),
      `ensure that steps x width x height x pictures (twice with guidance, half more for each control) is at most ${limits.jobWork}; it is ${work}`,
    );
  return request;
}
