/** Several jobs of one script: checked together before the first begins, then queued as any others, and answered as A1111. */

import { StableDiffusionError } from '../../../../errors.ts';
import { nodeImageCodec } from '../../../../image/codec/codec-node.ts';
import { flatten, type Image } from '../../../../image/image.ts';
import { acceptDecided, awaitJob } from '../../../accept-job.ts';
import { workOf } from '../../../admission/work.ts';
import { decideJob, type JobDraft } from '../../../decide-job.ts';
import { invalidField } from '../../../http/problem.ts';
import { type Answer, json } from '../../../http/route.ts';
import type { JobRequest, JobResult, PictureJob, ResultImage } from '../../../job.ts';
import { droppedSettings } from '../dropped-settings.ts';
import { fieldNames } from '../field-names.ts';
import { parametersOf } from '../generation-fields.ts';
import { infoOf } from '../info.ts';
import type { Body, ScriptCall } from './script.ts';

/** A finished job. */
export type Made = PictureJob & { readonly result: JobResult };

const drawnSeedLimit = 2 ** 32 - 1;

/** A1111's `fix_seed`: seeds that would be drawn are drawn once for all jobs. */
export function fixedSeeds<B extends Body>({ context }: ScriptCall, body: B): B {
  const fixed = <T>(seed: T): T | number =>
    seed === null || Number(seed) === -1 ? context.random(drawnSeedLimit) : seed;
  return { ...body, seed: fixed(body.seed), subseed: fixed(body.subseed) };
}

/** Refuses more jobs than one request may ask for, before any of them is described. */
export function checkCount({ context: { limits }, args }: ScriptCall, count: number): void {
  if (args.length > 100) throw invalidField(['body', 'script_args'], 'ensure this value has at most 100 items');
  if (count > limits.scriptPictures)
    throw invalidField(
      ['body', 'script_args'],
      `it asks for ${count} pictures; ensure that there are at most ${limits.scriptPictures}`,
    );
}

/** Decides all jobs, each once. Refuses those that together are more than one request may ask for. */
export async function decideAll(call: ScriptCall, drafts: readonly JobDraft[]): Promise<readonly JobRequest[]> {
  checkCount(call, drafts.length);
  const { limits } = call.context;
  const requests: JobRequest[] = [];
  let [work, pixels, count] = [0, 0, 0];
  for (const draft of drafts) {
    const request = await decideJob(call.context, draft, fieldNames, 'a1111');
    requests.push(request);
    const { width, height } = request.hires ?? request;
    work += workOf(request);
    pixels += width * height * request.prompts.length;
    count += request.prompts.length;
  }
  const checks = [
    [count, limits.scriptPictures, 'pictures'],
    [work, limits.jobWork, 'work (steps x pixels x pictures, twice with guidance)'],
    [pixels, limits.scriptPixels, 'pixels in all pictures together'],
  ] as const;
  for (const [value, most, what] of checks)
    if (value > most)
      throw invalidField(['body', 'script_args'], `it asks for ${value} ${what}; ensure that it is at most ${most}`);
  return requests;
}

/** Makes one job. */
export async function makeOne(
  { context, caller, body }: ScriptCall,
  request: JobRequest,
  signal: AbortSignal,
): Promise<Made> {
  const job = await acceptDecided(context, { owner: caller.owner, source: 'a1111', priority: 'normal', request });
  if (body.force_task_id) context.tasks.set(caller.owner, body.force_task_id.slice(0, 200), job.id);
  return awaitJob(context, job, signal);
}

/**
 * Makes jobs that do not depend on one another, in the order given. After an interrupted one the rest is cancelled and missing, as A1111's
 * scripts end. Throws what a job failed with; the others are cancelled then.
 */
export async function makeAll(call: ScriptCall, requests: readonly JobRequest[]): Promise<(Made | undefined)[]> {
  const stop = new AbortController();
  const signal = AbortSignal.any([call.caller.signal, stop.signal]);
  let [isInterrupted, failure] = [false, undefined as unknown];
  const made = await Promise.all(
    requests.map(async (request): Promise<Made | undefined> => {
      if (signal.aborted) return undefined;
      try {
        const job = await makeOne(call, request, signal);
        isInterrupted ||= job.result.interrupted;
        if (job.result.interrupted) stop.abort();
        return job;
      } catch (error) {
        if (!isInterrupted) failure ??= error;
        stop.abort();
        return undefined;
      }
    }),
  );
  if (failure) throw failure;
  call.caller.signal.throwIfAborted();
  return made;
}

/** The bytes of a picture in the store. */
export const bytesOf = async ({ context }: ScriptCall, { id }: Pick<ResultImage, 'id'>): Promise<Uint8Array> =>
  (await context.store.get(id)) ?? new Uint8Array();

/** A picture in the store, without alpha. */
export const storedPicture = async (call: ScriptCall, image: Pick<ResultImage, 'id'>): Promise<Image<3>> =>
  flatten(await nodeImageCodec.decode(await bytesOf(call, image)));

/** The first picture of a job; undefined for a missing one. */
export async function pictureOf(call: ScriptCall, made: Made | undefined): Promise<Image<3> | undefined> {
  const image = made?.result.images[0];
  return image && storedPicture(call, image);
}

/** A picture of an answer: its file, and the facts about it. */
export interface Shown {
  readonly bytes: Uint8Array;
  readonly image: ResultImage;
}

/** All pictures of finished jobs. */
export async function shownOf(call: ScriptCall, made: readonly (Made | undefined)[]): Promise<Shown[]> {
  const images = made.flatMap((job) => job?.result.images ?? []);
  return Promise.all(images.map(async (image) => ({ image, bytes: await bytesOf(call, image) })));
}

/** A picture that a script put together, in the format of the others, with the settings of `like` and more lines. */
export async function composed(
  picture: Image<3>,
  like: Made,
  lines: Readonly<Record<string, string>> = {},
): Promise<Shown> {
  const [image] = like.result.images;
  if (!image) throw new StableDiffusionError('aborted', 'The script was interrupted before its first picture.');
  const { type, quality } = like.request.format;
  const extra = Object.entries(lines).map(
    ([name, text]) => `, ${name}: ${/[,\n:]/.test(text) ? JSON.stringify(text) : text}`,
  );
  const infotext = image.infotext.replace(/(, Version: [^,\n]*)?$/, (version) => extra.join('') + version);
  const metadata = { parameters: infotext };
  const bytes = await nodeImageCodec.encode(
    picture,
    type === 'png' ? { format: 'png', metadata } : { format: type, quality, metadata },
  );
  return { bytes, image: { ...image, width: picture.width, height: picture.height, infotext } };
}

/** A1111's answer. `first` is the index of the first picture that is no grid. */
export function answerScript(call: ScriptCall, like: Made, shown: readonly Shown[], first: number): Answer {
  const { body, caller, context } = call;
  const result = { ...like.result, images: shown.map(({ image }) => image) };
  const warnings = [...droppedSettings(context, caller.owner, body), ...(like.request.warnings ?? [])];
  const info = infoOf(like, result, body, context.catalog.find(like.request.model).name, warnings);
  const hidden = 'init_images' in body ? { ...body, init_images: null, mask: null } : body;
  return json({
    images: body.send_images === false ? [] : shown.map(({ bytes }) => Buffer.from(bytes).toString('base64')),
    parameters: parametersOf(hidden, like.request),
    info: JSON.stringify({ ...(JSON.parse(info) as object), index_of_first_image: first }),
  });
}

/** The first job that has a picture. Throws `aborted` if no job has one. */
export function firstMade(made: readonly (Made | undefined)[]): Made {
  const found = made.find((job) => job && job.result.images.length > 0);
  if (!found) throw new StableDiffusionError('aborted', 'The script was interrupted before its first picture.');
  return found;
}
