/** What txt2img and img2img share: fields and options to a job, and a job to A1111's answer with its `info`. */

import { StableDiffusionError } from '../../../errors.ts';
import { namedSampling } from '../../../diffusion/sampler-names.ts';
import type { PlainSeed } from '../../../random/plain-seed.ts';
import { emphases } from '../../../prompt/emphasis.ts';
import type { NoiseConvention } from '../../../random/noise-source.ts';
import { acceptJob, awaitJob } from '../../accept-job.ts';
import type { UnitControls } from '../../controlnet/units.ts';
import type { JobDraft } from '../../decide-job.ts';
import type { ServerContext } from '../../context.ts';
import { invalidField } from '../../http/problem.ts';
import type { Answer, RouteRequest } from '../../http/route.ts';
import { json } from '../../http/route.ts';
import { withoutUnits } from './controls-in.ts';
import { droppedSettings, noChoice, vaeNameOf } from './dropped-settings.ts';
import { fieldNames } from './field-names.ts';
import { infoOf } from './info.ts';
import { currentModel } from './option-table.ts';
import { type Options, requestOptions } from './request-options.ts';
import {
  type ImageToImageFields,
  parametersOf,
  type SharedFields,
  type TextToImageFields,
} from './generation-fields.ts';
import { isSchedulerLabel, type SamplerLabels, samplerLabels } from '../../../diffusion/sampler-labels.ts';
import { facesOf } from './faces-of.ts';
import { dynamicPromptsIn } from './dynamic-prompts.ts';
import { checkScripts } from './scripts/index.ts';

/** A1111's "Automatic" is the same as none. */
const named = (schedule: string | null): string | undefined =>
  schedule === null || schedule === '' || /^automatic$/i.test(schedule) ? undefined : schedule;

/** A1111 draws a seed only for -1, and takes other negative ones as they are. */
const seedOf = (seed: PlainSeed | null): PlainSeed | undefined => (seed === null || seed === -1 ? undefined : seed);

/** `undefined` for null, so that the server's default holds. */
export const given = <T>(value: T | null): T | undefined => value ?? undefined;

/** A sampler with its schedule, by names that there are. `where` is the field of the schedule. */
export function samplingOf(
  name: string,
  scheduler: string | null | undefined,
  where: string,
): { readonly labels: SamplerLabels; readonly schedule: string | undefined } {
  const schedule = named(scheduler ?? null);
  let spacesItself: boolean;
  try {
    spacesItself = namedSampling(name, { peer: 'a1111' }).sampler.space === 'timestep';
  } catch {
    throw new StableDiffusionError('invalid-argument', 'Sampler not found', { details: { status: 400 } });
  }
  const labels = samplerLabels(name, schedule);
  // A1111's samplers over timesteps read no schedule; it stands in the settings all the same.
  if (spacesItself && isSchedulerLabel(labels.scheduler)) return { labels, schedule: undefined };
  try {
    namedSampling(name, { peer: 'a1111', schedule });
  } catch (error) {
    throw invalidField(['body', where], error instanceof Error ? error.message : 'not valid');
  }
  return { labels, schedule: labels.scheduler === 'Automatic' ? undefined : labels.scheduler };
}

/** A job, and its sampler by A1111's names. */
export type SharedDraft = JobDraft & { readonly labels: SamplerLabels };

/** The options of prompts, where they are not A1111's defaults. It takes an emphasis that it does not know for the original one. */
function promptSettingsOf({ emphasis: name, comma_padding_backtrack }: Options): Pick<JobDraft, 'promptSettings'> {
  const emphasis = emphases.find((known) => known === name) ?? 'Original';
  const commaBacktrack = Math.max(0, Math.min(1000, Number(comma_padding_backtrack)));
  return emphasis === 'Original' && commaBacktrack === 20 ? {} : { promptSettings: { emphasis, commaBacktrack } };
}

const noises: ReadonlyMap<unknown, NoiseConvention> = new Map([
  ['GPU', 'a1111-gpu'],
  ['CPU', 'a1111-cpu'],
  ['NV', 'a1111-nv'],
]);
const formats: ReadonlyMap<unknown, 'png' | 'jpeg' | 'webp'> = new Map([
  ['png', 'png'],
  ['jpg', 'jpeg'],
  ['jpeg', 'jpeg'],
  ['webp', 'webp'],
]);

/** The model that ends the run, where the caller names one. */
function refinerOf({
  refiner_checkpoint: refiner,
  refiner_switch_at: at,
}: SharedFields): Pick<JobDraft, 'refiner' | 'refinerSwitchAt'> {
  if (noChoice.has(refiner) || typeof refiner !== 'string') return {};
  return { refiner, ...(at === null || at === undefined ? {} : { refinerSwitchAt: at }) };
}

/** The part of a job that both routes describe alike. */
export function sharedDraft(
  context: ServerContext,
  owner: string,
  body: SharedFields,
  task: JobDraft['task'],
): SharedDraft {
  checkScripts(body);
  const overrides = body.override_settings ?? {};
  const options = requestOptions(context, owner, overrides);
  const model =
    typeof overrides['sd_model_checkpoint'] === 'string'
      ? overrides['sd_model_checkpoint']
      : currentModel(context, owner).name;
  const { labels, schedule } = samplingOf(
    body.sampler_name || body.sampler_index || 'Euler',
    body.scheduler,
    'scheduler',
  );
  const { sampler } = labels;
  const etaOption = Number(/^(ddim|plms)/i.test(sampler) ? options['eta_ddim'] : options['eta_ancestral']);
  const eta =
    body.eta ??
    (/ddim| a$|sde|dpm fast/i.test(sampler) && etaOption !== (/^ddim/i.test(sampler) ? 0 : 1) ? etaOption : undefined);
  const churn = {
    sChurn: body.s_churn ?? Number(options['s_churn']),
    sTmin: body.s_tmin ?? Number(options['s_tmin']),
    sNoise: body.s_noise ?? Number(options['s_noise']),
  };
  const sTmax = body.s_tmax ?? Number(options['s_tmax']);
  const resized = (body.seed_resize_from_w ?? 0) > 0 && (body.seed_resize_from_h ?? 0) > 0;
  const seedDelta = Number(options['eta_noise_seed_delta']);
  return {
    labels,
    task,
    model,
    vae: vaeNameOf(context, options).vae,
    prompt: body.prompt ?? '',
    negativePrompt: body.negative_prompt ?? '',
    promptSyntax: 'a1111',
    seed: seedOf(body.seed),
    subseed: seedOf(body.subseed),
    subseedStrength: given(body.subseed_strength),
    batchSize: given(body.batch_size),
    iterations: given(body.n_iter),
    width: given(body.width),
    height: given(body.height),
    steps: body.steps ?? 50,
    sampler,
    schedule,
    guidanceScale: body.cfg_scale ?? 7,
    seamless: body.tiling === true || options['tiling'] === true ? 'both' : undefined,
    tokenMerging: tokenMergingOf(options, overrides, task),
    colorCorrection: task !== 'txt2img' && options['img2img_color_correction'] === true ? true : undefined,
    ...refinerOf(body),
    restoreFaces: facesOf(context, body, options).restoreFaces,
    dynamicPrompts: dynamicPromptsIn(body),
    noise: noises.get(options['randn_source']) ?? 'a1111-gpu',
    format: { type: formats.get(options['samples_format']) ?? 'png', quality: Number(options['jpeg_quality']) },
    clipSkip: Math.max(1, Number(options['CLIP_stop_at_last_layers'])),
    scheduler: labels.scheduler,
    ...promptSettingsOf(options),
    eta,
    samplerSettings:
      churn.sChurn > 0 || churn.sNoise !== 1 ? { ...churn, sTmax: sTmax > 0 ? sTmax : undefined } : undefined,
    noiseSettings:
      resized || seedDelta !== 0
        ? {
            seedResizeFrom: resized
              ? { width: body.seed_resize_from_w ?? 0, height: body.seed_resize_from_h ?? 0 }
              : undefined,
            etaNoiseSeedDelta: seedDelta === 0 ? undefined : seedDelta,
          }
        : undefined,
  };
}

/** A1111's options `token_merging_ratio` and `token_merging_ratio_img2img`, which gives way to a request's own ratio; 0 is off. Throws `invalid-argument` beyond 0 to 0.9, A1111's own bounds. */
function tokenMergingOf(
  options: Options,
  overrides: Readonly<Record<string, unknown>>,
  task: JobDraft['task'],
): number | undefined {
  const own = Number(options['token_merging_ratio']);
  const fromImage = task === 'txt2img' ? 0 : Number(options['token_merging_ratio_img2img']);
  const ratio = (overrides['token_merging_ratio'] ? own : 0) || fromImage || own;
  if (!(ratio >= 0 && ratio <= 0.9))
    throw invalidField(['body', 'override_settings', 'token_merging_ratio'], 'ensure this value is from 0 to 0.9');
  return ratio === 0 ? undefined : ratio;
}

/** The body without pictures that are not returned, because it is kept until the job is done. */
function withoutPictures<T extends TextToImageFields | ImageToImageFields>(given: T): T {
  const body = withoutUnits(given);
  if (!('include_init_images' in body) || body.include_init_images) return body;
  return { ...body, init_images: null, mask: null, latent_mask: null, firstpass_image: null, infotext: null };
}

/** How a script makes jobs: with the controls of its request. Fields that a script changes are checked as those of a request. */
export const draftsWith =
  <B>(controls: UnitControls, draftOf: (body: B) => Promise<JobDraft>) =>
  async (body: B): Promise<JobDraft> => ({ ...(await draftOf(body)), ...controls.draft });

/** Makes the job and answers as A1111. */
export async function answerGeneration(
  context: ServerContext,
  { owner, signal, ticket }: RouteRequest<unknown, unknown, unknown>,
  draft: JobDraft,
  given: TextToImageFields | ImageToImageFields,
  controls: UnitControls,
): Promise<Answer> {
  const body = withoutPictures(given);
  const warnings = droppedSettings(context, owner, given);
  if (warnings.length > 0) context.log.warn({ owner, warnings }, 'settings without effect');
  ticket.hold(Buffer.byteLength(JSON.stringify(body)));
  const accepted = await acceptJob(context, {
    owner,
    source: 'a1111',
    priority: 'normal',
    draft: { ...draft, ...controls.draft },
    fields: fieldNames,
    controlPlace: controls.place,
  });
  if (body.force_task_id) context.tasks.set(owner, body.force_task_id.slice(0, 200), accepted.id);
  const job = await awaitJob(context, accepted, signal);
  const images = await Promise.all(
    // As there, the maps of controls come after the pictures.
    [...job.result.images.map(({ id }) => id), ...(job.result.maps ?? [])].map(async (id) =>
      Buffer.from((await context.store.get(id)) ?? []).toString('base64'),
    ),
  );
  return json({
    images: body.send_images === false ? [] : images,
    parameters: parametersOf(body, job.request),
    info: infoOf(job, job.result, body, context.catalog.find(job.request.model).name, [
      ...warnings,
      ...(job.request.warnings ?? []),
    ]),
  });
}
