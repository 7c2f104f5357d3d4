/**
 * Makes the pictures of jobs that were taken together, as few runs of the program as fit. Each job is finished as soon as its own pictures
 * are done, and can be cancelled, interrupted or have its iteration skipped without the others noticing.
 */

import { StableDiffusionError } from '../../errors.ts';
import { nodeImageCodec } from '../../image/codec/codec-node.ts';
import type { Image } from '../../image/image.ts';
import { tensorToImages } from '../../image/image-tensor.ts';
import type { GeneratedImage, PipelineEvent } from '../../pipelines/events.ts';
import type { Model } from '../../model/model.ts';
import { type GenerationRecord, programName } from '../../generation/record.ts';
import { takeBatch } from '../../tensor/batches.ts';
import { withoutFolders } from '../without-folders.ts';
import type { Job, JobError, JobRequest, JobResult, ResultImage } from '../job.ts';
import type { JobControl } from '../job-event.ts';
import type { ModelPool } from '../models/model-pool.ts';
import type { JobQueue } from '../queue/queue.ts';
import type { BlobStore } from '../store/blob-store.ts';
import { composeOffThread, prepareOffThread } from './picture-thread.ts';
import { type PicturePolicy, pipelineOf, secondPass } from './pipeline-of.ts';
import type { PreparedPictures } from './prepare-pictures.ts';
import { settingsText } from './settings-text.ts';

export interface RunContext {
  readonly queue: JobQueue;
  readonly store: BlobStore;
  readonly models: ModelPool;
  readonly policy: PicturePolicy;
  /** Most pictures in one run of the program. */
  readonly maxBatch: number;
  /** Pixels of an initial picture, by its header. */
  readonly inputPixels: number;
  readonly hashOf: (model: string) => Promise<string | null>;
  readonly now: () => number;
  readonly onOutcome: (
    job: Job,
    outcome: 'done' | 'failed' | 'cancelled' | 'lost',
    seconds: number,
    batch: number,
  ) => void;
  readonly onError: (job: Job, error: unknown) => void;
  /** Time in which a pipeline made something: without what the server does with it. */
  readonly onSampling: (seconds: number) => void;
}

/** Errors that a further attempt would meet again. */
const permanent = new Set([
  'invalid-argument',
  'too-large',
  'file-corrupt',
  'file-truncated',
  'file-unsupported',
  'file-unsafe',
  'not-finite',
  'not-found',
  'shape-mismatch',
  'weights-mismatch',
  'model-unknown',
  'config-invalid',
]);

/** A job under way. */
interface Work {
  readonly job: Job;
  readonly images: (ResultImage | undefined)[];
  stop?: 'cancel' | 'interrupt';
  skip: boolean;
  /** Until when previews are wanted. */
  watchedUntil: number;
  finished: boolean;
  interrupted: boolean;
  stepsDone: number;
  readonly stepsTotal: number;
  readonly pictures: Partial<PreparedPictures>;
}

interface Picture {
  readonly work: Work;
  readonly index: number;
}

export interface RunningJobs {
  readonly jobs: readonly Job[];
  control(id: string, control: JobControl): void;
  /** Resolves when all jobs have been ended in the queue. */
  readonly done: Promise<void>;
}

async function imagesOf(job: Job, { store, inputPixels }: RunContext): Promise<Work['pictures']> {
  const { request } = job;
  if (!request.image) return {};
  const open = async (id: string): Promise<Image> => {
    const bytes = await store.get(id);
    if (!bytes)
      throw new StableDiffusionError('not-found', 'The initial picture or the mask is not in the store any more.');
    return nodeImageCodec.decode(bytes, { maxPixels: inputPixels });
  };
  const image = await open(request.image);
  return prepareOffThread(
    image,
    request.kind === 'inpaint' && request.mask ? await open(request.mask) : undefined,
    request,
  );
}

/** Starts making jobs that share a batch key. Never throws: what goes wrong ends the jobs. */
export function runJobs(jobs: readonly Job[], context: RunContext): RunningJobs {
  const { queue, now } = context;
  const begun = now();
  const works: Work[] = [];
  const early = new Map<string, JobControl>();
  const abort = new AbortController();

  const end = async (work: Work, ending: () => Promise<'done' | 'failed' | 'cancelled' | 'lost'>): Promise<void> => {
    if (work.finished) return;
    work.finished = true;
    context.onOutcome(work.job, await ending(), (now() - begun) / 1000, jobs.length);
  };
  const fail = (work: Work, error: unknown): Promise<void> =>
    end(work, async () => {
      if (work.stop === 'cancel')
        return (await queue.fail(work.job, { code: 'aborted', message: 'The job was cancelled.' }, { retry: false }))
          ? 'failed'
          : 'cancelled';
      context.onError(work.job, error);
      const known = error instanceof StableDiffusionError;
      const told: JobError = known
        ? { code: error.code, message: withoutFolders(error.message) }
        : { code: 'engine-failed', message: 'The server failed while it made this job; its log says how.' };
      const kept = await persist(() => queue.fail(work.job, told, { retry: !(known && permanent.has(error.code)) }), {
        patient: true,
      });
      return kept ? 'failed' : 'lost';
    });
  const complete = (work: Work, modelHash: string | null): Promise<void> =>
    end(work, async () => {
      const images = work.images.filter((image) => image !== undefined);
      const result: JobResult = {
        images,
        interrupted: work.interrupted,
        modelHash,
        seconds: (now() - begun) / 1000,
        batch: works.reduce((sum, { images: { length } }) => sum + length, 0),
      };
      return (await persist(() => queue.complete(work.job, result), { patient: true })) ? 'done' : 'lost';
    });

  const run = async (): Promise<void> => {
    for (const job of jobs) {
      const work: Work = {
        job,
        images: job.request.prompts.map(() => undefined),
        skip: false,
        watchedUntil: 0,
        finished: false,
        interrupted: false,
        stepsDone: 0,
        stepsTotal:
          job.request.prompts.length *
          (job.request.steps + (job.request.hires ? (job.request.hires.steps ?? job.request.steps) : 0)),
        pictures: {},
      };
      works.push(work);
      const told = early.get(job.id);
      if (told) obey(work, told);
      try {
        Object.assign(work.pictures, await imagesOf(job, context));
      } catch (error) {
        await fail(work, error);
      }
    }
    const first = works.find((work) => !work.finished);
    if (!first) return;
    try {
      const loaded = await context.models.acquire(first.job.request.model, first.job.request.loras);
      try {
        const modelHash = await context.hashOf(first.job.request.model);
        for (const chunk of chunksOf(works, context.maxBatch)) {
          const wanted = chunk.filter(({ work }) => !work.finished && !work.stop);
          if (wanted.length > 0)
            await runChunk(wanted, loaded.model, {
              context,
              modelHash,
              modelName: loaded.entry.name,
              modelFile: loaded.entry.file,
              signal: abort.signal,
              fail,
            });
          for (const work of new Set(chunk.map((picture) => picture.work))) {
            if (work.stop === 'cancel') await fail(work, undefined);
            else if (work.stop === 'interrupt' || work.images.every(Boolean) || chunk.at(-1)?.work !== work)
              await complete(work, modelHash);
          }
        }
        for (const work of works) {
          if (work.stop === 'cancel') await fail(work, undefined);
          else await complete(work, modelHash);
        }
      } finally {
        loaded.release();
      }
    } catch (error) {
      for (const work of works) await fail(work, error);
    }
  };

  const obey = (work: Work, control: JobControl): void => {
    if (control === 'watch') work.watchedUntil = now() + 5000;
    else if (control === 'skip') work.skip = true;
    else if (work.stop !== 'cancel') work.stop = control;
    if (works.length > 0 && works.every(({ stop, finished }) => finished || stop === 'cancel')) abort.abort();
  };
  return {
    jobs,
    control(id, control) {
      const work = works.find(({ job }) => job.id === id);
      if (work) obey(work, control);
      else early.set(id, control);
    },
    done: run(),
  };
}

/**
 * Writes what was made, again and again while it cannot be kept: a full disk gets room some day, and without its journal a queue can do
 * nothing else. Gives up after half a minute where `patient` is not set and the disk is not full.
 */
async function persist<T>(write: () => Promise<T>, { patient }: { readonly patient: boolean }): Promise<T> {
  for (let wait = 250; ; wait = Math.min(16_000, wait * 2)) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof StableDiffusionError && error.code === 'file-access')) throw error;
      const isFull = (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOSPC';
      if (wait === 16_000 && !patient && !isFull) throw error;
      // A process that is told to end does not wait for room.
      await new Promise((resolve) => setTimeout(resolve, wait).unref());
    }
  }
}

/** Pictures in runs of at most `most`; several iterations of a job only share a run where it is a job among others. */
function* chunksOf(works: readonly Work[], most: number): Generator<Picture[]> {
  let chunk: Picture[] = [];
  for (const work of works) {
    const { batchSize } = work.job.request;
    for (let index = 0; index < work.images.length; index++) {
      const isNewIteration = works.length === 1 && index % batchSize === 0;
      if (chunk.length > 0 && (chunk.length >= most || isNewIteration)) {
        yield chunk;
        chunk = [];
      }
      chunk.push({ work, index });
    }
  }
  if (chunk.length > 0) yield chunk;
}

interface ChunkContext {
  readonly context: RunContext;
  readonly modelHash: string | null;
  readonly modelName: string;
  /** What the record in a picture names: never where the file lies. */
  readonly modelFile: string;
  readonly signal: AbortSignal;
  readonly fail: (work: Work, error: unknown) => Promise<void>;
}

async function runChunk(chunk: readonly Picture[], model: Model, chunkContext: ChunkContext): Promise<void> {
  const { context, signal } = chunkContext;
  const [first] = chunk;
  if (!first) return;
  const left = new Set(chunk);
  const pictures = chunk.map(({ work, index }) => ({ request: work.job.request, index }));
  const pipeline = pipelineOf(model, pictures, first.work.pictures, context.policy, signal);
  for (const work of new Set(chunk.map((picture) => picture.work))) work.skip = false;
  try {
    for await (const event of timed(pipeline, context.onSampling)) {
      if (event.kind === 'step') {
        await onStep(event, chunk, left, model, chunkContext);
        if (left.size === 0) break;
      } else if (event.kind === 'images') {
        for (const made of event.images) {
          const picture = chunk[made.index];
          if (picture && left.has(picture)) await finishPicture(picture, made, model, chunkContext);
        }
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    // A picture that became NaN is no reason to give up those beside it: they are made alone.
    if (chunk.length > 1 && error instanceof StableDiffusionError && error.code === 'not-finite') {
      for (const picture of left) await runChunk([picture], model, chunkContext);
      return;
    }
    for (const work of new Set(chunk.map((picture) => picture.work))) await chunkContext.fail(work, error);
  }
}

/** The events, and the time that each took to come. */
async function* timed<T>(events: AsyncIterable<T>, spent: (seconds: number) => void): AsyncGenerator<T, void, void> {
  let begun = performance.now();
  const stop = (): void => spent((performance.now() - begun) / 1000);
  for await (const event of events) {
    stop();
    yield event;
    begun = performance.now();
  }
  stop();
}

type StepEvent = Extract<PipelineEvent, { kind: 'step' }>;

async function onStep(
  event: StepEvent,
  chunk: readonly Picture[],
  left: Set<Picture>,
  model: Model,
  chunkContext: ChunkContext,
): Promise<void> {
  const { context, signal } = chunkContext;
  const { queue, now } = context;
  const works = new Set([...left].map(({ work }) => work));
  const previews = [...works].filter(
    ({ job, watchedUntil }) => watchedUntil > now() || isPreviewStep(job.request.previews, event.step, event.steps),
  );
  const shown = previews.length > 0 && event.step < event.steps ? await event.preview() : [];
  for (const work of works) {
    const own = chunk.filter((picture) => picture.work === work);
    work.stepsDone += own.length;
    const { id } = work.job;
    const pictures = work.images.filter(Boolean).length;
    queue.publish({
      kind: 'step',
      id,
      done: Math.min(work.stepsDone, work.stepsTotal),
      total: work.stepsTotal,
      step: event.step,
      steps: event.steps,
      pictures,
    });
    const [picture] = own;
    const image = previews.includes(work) && picture ? shown[chunk.indexOf(picture)] : undefined;
    if (image && picture) {
      const bytes = await nodeImageCodec.encode(image, { format: 'jpeg', quality: 85 });
      queue.publish({
        kind: 'preview',
        id,
        picture: picture.index,
        step: event.step,
        mediaType: 'image/jpeg',
        data: Buffer.from(bytes).toString('base64'),
      });
    }
  }
  for (const picture of [...left]) {
    const { work } = picture;
    if (!work.stop && !work.skip) continue;
    left.delete(picture);
    if (work.stop === 'cancel' || event.step === event.steps) continue;
    // What there is, as A1111 gives it: the model's guess so far.
    work.interrupted = true;
    const at = chunk.indexOf(picture);
    const [image] = tensorToImages(
      await model.decodeLatent(takeBatch(event.denoised, at, at + 1), signal),
    ) as Image<3>[];
    if (image) await storePicture(picture, image, {}, chunkContext);
  }
}

/** `count` previews spread over the steps before the last. */
function isPreviewStep(count: number, step: number, steps: number): boolean {
  if (count === 0) return false;
  const part = (at: number): number => Math.floor((at * (count + 1)) / steps);
  return part(step) > part(step - 1) && step < steps;
}

async function finishPicture(
  picture: Picture,
  made: GeneratedImage,
  model: Model,
  chunkContext: ChunkContext,
): Promise<void> {
  const { context, signal } = chunkContext;
  const { work, index } = picture;
  const { request } = work.job;
  let [image, { record, flagged }] = [made.image, made];
  if (request.hires && !flagged) {
    // A1111 changes the model and the LoRAs between the passes where the second has others.
    const own = request.hires.model ?? (request.hires.loras ? request.model : undefined);
    const loaded = own === undefined ? undefined : await context.models.acquire(own, request.hires.loras);
    try {
      const again = await secondPass(
        loaded?.model ?? model,
        { request, index },
        request.hires,
        image,
        context.policy,
        signal,
      );
      for await (const event of timed(again, context.onSampling)) {
        if (event.kind === 'step') {
          work.stepsDone++;
          context.queue.publish({
            kind: 'step',
            id: work.job.id,
            done: Math.min(work.stepsDone, work.stepsTotal),
            total: work.stepsTotal,
            step: event.step,
            steps: event.steps,
            pictures: work.images.filter(Boolean).length,
          });
          if (work.stop) {
            work.interrupted = true;
            break;
          }
        }
        const better = event.kind === 'images' ? event.images[0] : undefined;
        if (better) ({ image, record, flagged } = better);
      }
    } finally {
      loaded?.release();
    }
  }
  if (work.stop === 'cancel') return;
  const { overlay } = work.pictures;
  const whole = overlay && !flagged ? await composeOffThread(overlay, image) : image;
  await storePicture(picture, whole, { record, flagged }, chunkContext);
}

/** Whether `sd replay` has all that made the picture in its record; A1111's further settings are in the text alone. */
function isReplayable({ kind, hires, subseedStrength, seedResizeFrom, seedDelta, churn }: JobRequest): boolean {
  return kind !== 'inpaint' && !hires && subseedStrength === 0 && !seedResizeFrom && seedDelta === undefined && !churn;
}

async function storePicture(
  { work, index }: Picture,
  image: Image<3>,
  made: { readonly record?: GenerationRecord; readonly flagged?: boolean },
  { context, modelHash, modelName, modelFile }: ChunkContext,
): Promise<void> {
  const { request } = work.job;
  const infotext = settingsText({ request, index, model: modelName, modelHash, version: programName });
  const metadata = {
    parameters: infotext,
    ...(made.record && isReplayable(request) ? { record: { ...made.record, model: modelFile } } : {}),
  };
  const { type, quality } = request.format;
  const file = await nodeImageCodec.encode(
    image,
    type === 'png' ? { format: 'png', metadata } : { format: type, quality, metadata },
  );
  // Nor is what the queue is told of it flushed at once: after a power cut the picture is made again.
  const id = await persist(() => context.store.put(file, { flush: 'soon' }), { patient: false });
  work.images[index] = {
    id,
    mediaType: `image/${type}`,
    width: image.width,
    height: image.height,
    seed: request.seeds[index] ?? 0,
    subseed: request.subseeds[index] ?? 0,
    prompt: request.prompts[index] ?? '',
    infotext,
    flagged: made.flagged,
  };
}
