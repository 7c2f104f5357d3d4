/**
 * Makes the pictures of jobs that were taken together, as few runs of the program as fit. Each job is finished as soon as its own pictures
 * are done, and can be cancelled, interrupted or have its iteration skipped without the others noticing.
 */

import { StableDiffusionError } from '../../errors.ts';
import {
  isPictureJob,
  isWorkflowJob,
  type Job,
  type JobError,
  type JobRequest,
  type JobResult,
  type PictureJob,
} from '../job.ts';
import type { JobControl } from '../job-event.ts';
import type { LoadedModel } from '../models/model-pool.ts';
import { withoutFolders } from '../without-folders.ts';
import { type JobControls, openControls } from './open-controls.ts';
import { persist } from './persist.ts';
import { runChunk } from './run-chunk.ts';
import { runWorkflowJob } from './run-workflow.ts';
import type { RunningJobs } from './running-jobs.ts';
import { type ChunkContext, type Picture, type RunContext, type Work, workOn } from './work.ts';

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

async function imagesOf(
  job: PictureJob,
  image: string | undefined,
  { store, pictures }: RunContext,
  signal: AbortSignal,
): Promise<Work['pictures']> {
  const { request, owner } = job;
  if (!image) return {};
  const open = async (id: string): Promise<Uint8Array> => {
    const bytes = await store.get(id);
    if (!bytes)
      throw new StableDiffusionError('not-found', 'The initial picture or the mask is not in the store any more.');
    return bytes;
  };
  const picture = await open(image);
  const sketch = request.task === 'inpaint' && request.mask ? await open(request.mask) : undefined;
  return pictures.run('prepare', { picture, sketch, request }, { owner, signal });
}

/** Starts making jobs that share a batch key. Never throws: what goes wrong ends the jobs. */
export function runJobs(jobs: readonly Job[], context: RunContext): RunningJobs {
  const [first] = jobs;
  // A workflow is never taken together with other jobs.
  if (first && isWorkflowJob(first)) return runWorkflowJob(first, context);
  return new JobGroup(jobs.filter(isPictureJob), context);
}

/** The initial picture of a job, or of each picture of its batch. */
async function preparePictures(work: Work, context: RunContext, signal: AbortSignal): Promise<void> {
  const { image, images = [] } = work.job.request;
  Object.assign(work.pictures, await imagesOf(work.job, image, context, signal));
  for (const each of images)
    work.ofEach.push((await imagesOf(work.job, each, context, signal)) as (typeof work.ofEach)[number]);
}

/** Maps of a job's controls, which its answer returns. */
async function storeMaps(controls: JobControls | undefined, { store }: RunContext): Promise<string[]> {
  const ids: string[] = [];
  for (const map of controls?.maps ?? [])
    ids.push(await persist(() => store.put(map, { flush: 'soon' }), { patient: false }));
  return ids;
}

type Outcome = 'done' | 'failed' | 'cancelled' | 'lost';

class JobGroup implements RunningJobs {
  readonly jobs: readonly PictureJob[];
  readonly done: Promise<void>;
  readonly #context: RunContext;
  readonly #begun: number;
  readonly #works: readonly Work[];
  readonly #abort = new AbortController();

  constructor(jobs: readonly PictureJob[], context: RunContext) {
    this.jobs = jobs;
    this.#context = context;
    this.#begun = context.now();
    this.#works = jobs.map(workOn);
    this.done = this.#run();
  }

  control(id: string, control: JobControl): void {
    const work = this.#works.find(({ job }) => job.id === id);
    if (!work) return;
    if (control === 'watch') work.watchedUntil = this.#context.now() + 5000;
    else if (control === 'skip') work.skip = true;
    else if (control !== 'free' && work.stop !== 'cancel') work.stop = control;
    if (this.#works.every(({ stop, finished }) => finished || stop === 'cancel')) this.#abort.abort();
  }

  async #run(): Promise<void> {
    for (const work of this.#works) {
      try {
        await preparePictures(work, this.#context, this.#abort.signal);
        work.controls = await openControls(work.job, this.#context, this.#abort.signal);
      } catch (error) {
        await this.#fail(work, error);
      }
    }
    const first = this.#works.find((work) => !work.finished);
    if (!first) return;
    const { model, loras, vae, refiner: second } = first.job.request;
    try {
      const loaded = await this.#context.models.acquire(model, loras, vae);
      let refiner: LoadedModel | undefined;
      try {
        refiner = second === undefined ? undefined : await this.#context.models.acquire(second);
        await this.#runAll({ ...loaded, refiner: refiner?.model }, await this.#context.hashOf(model));
      } finally {
        refiner?.release();
        loaded.release();
      }
    } catch (error) {
      for (const work of this.#works) await this.#fail(work, error);
    }
  }

  async #runAll(
    { model, refiner, entry }: LoadedModel & Pick<ChunkContext, 'refiner'>,
    modelHash: string | null,
  ): Promise<void> {
    const chunkContext: ChunkContext = {
      context: this.#context,
      model,
      refiner,
      modelHash,
      modelName: entry.name,
      modelFile: entry.file,
      signal: this.#abort.signal,
      fail: (work, error) => this.#fail(work, error),
    };
    for (const chunk of chunksOf(this.#works, this.#context.maxBatch)) {
      const wanted = chunk.filter(({ work }) => !work.finished && !work.stop);
      if (wanted.length > 0) await runChunk(wanted, chunkContext);
      for (const work of new Set(chunk.map((picture) => picture.work))) {
        if (work.stop === 'cancel') await this.#fail(work, undefined);
        else if (work.stop === 'interrupt' || work.images.every(Boolean) || chunk.at(-1)?.work !== work)
          await this.#complete(work, modelHash);
      }
    }
    for (const work of this.#works) {
      if (work.stop === 'cancel') await this.#fail(work, undefined);
      else await this.#complete(work, modelHash);
    }
  }

  async #end(work: Work, ending: () => Promise<Outcome>): Promise<void> {
    if (work.finished) return;
    work.finished = true;
    work.controls?.release();
    const { now, onOutcome } = this.#context;
    onOutcome(work.job, await ending(), (now() - this.#begun) / 1000, this.jobs.length);
  }

  #fail(work: Work, error: unknown): Promise<void> {
    const { queue, onError } = this.#context;
    return this.#end(work, async () => {
      if (work.stop === 'cancel') {
        const cancelled = { code: 'aborted', message: 'The job was cancelled.' };
        return (await queue.fail(work.job, cancelled, { retry: false })) ? 'failed' : 'cancelled';
      }
      onError(work.job, error);
      const known = error instanceof StableDiffusionError;
      const failure: JobError = known
        ? { code: error.code, message: withoutFolders(error.message) }
        : { code: 'engine-failed', message: 'The server failed while it made this job; its log says how.' };
      const retry = !(known && permanent.has(error.code));
      return (await persist(() => queue.fail(work.job, failure, { retry }), { patient: true })) ? 'failed' : 'lost';
    });
  }

  #complete(work: Work, modelHash: string | null): Promise<void> {
    const { queue, now } = this.#context;
    return this.#end(work, async () => {
      const maps = await storeMaps(work.controls, this.#context);
      const result: JobResult = {
        images: work.images.filter((image) => image !== undefined),
        ...(maps.length > 0 ? { maps } : {}),
        interrupted: work.interrupted,
        modelHash,
        seconds: (now() - this.#begun) / 1000,
        batch: this.#works.reduce((sum, { images: { length } }) => sum + length, 0),
      };
      return (await persist(() => queue.complete(work.job, result), { patient: true })) ? 'done' : 'lost';
    });
  }
}

/** Pixels in one step of a run: with more, others would wait long for their turn. */
const chunkPixels = 8 * 512 * 512;

/** Most pictures of a job in one run. Noise that is drawn for a whole batch depends on it: there it is the number alone. */
function mostOf({ noise, width, height, images, outpaint }: JobRequest, most: number): number {
  // Each starts from its own, or is painted part by part.
  if (images || outpaint) return 1;
  if (noise === 'compvis' || noise === 'comfy') return most;
  return Math.max(1, Math.min(most, Math.floor(chunkPixels / (width * height))));
}

/** Pictures in runs of at most `most`; several iterations of a job only share a run where it is a job among others. */
function* chunksOf(works: readonly Work[], most: number): Generator<Picture[]> {
  let chunk: Picture[] = [];
  for (const work of works) {
    const { batchSize } = work.job.request;
    const fitting = mostOf(work.job.request, most);
    for (let index = 0; index < work.images.length; index++) {
      const isNewIteration = works.length === 1 && index % batchSize === 0;
      if (chunk.length > 0 && (chunk.length >= fitting || isNewIteration)) {
        yield chunk;
        chunk = [];
      }
      chunk.push({ work, index });
    }
  }
  if (chunk.length > 0) yield chunk;
}
