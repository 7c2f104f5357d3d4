/** One batch for pictures of one or more jobs: reports its steps, finishes its pictures, drops stopped jobs. */

import { StableDiffusionError } from '../../errors.ts';
import { nodeImageCodec } from '../../image/codec/codec-node.ts';
import type { Image } from '../../image/image.ts';
import { tensorToImages } from '../../image/image-tensor.ts';
import type { PipelineEvent } from '../../pipelines/events.ts';
import { takeBatch } from '../../tensor/batches.ts';
import { workOfStep } from '../admission/work.ts';
import { finishPicture, storePicture } from './finish-picture.ts';
import { type JobImages, pipelineOf } from './pipeline-of.ts';
import { withRestoredFaces } from './restored-faces.ts';
import { checkSteps, spend } from './spend.ts';
import { inTurns, type TurnUse } from './turns.ts';
import { type ChunkContext, type Picture, picturesOf, type RunContext } from './work.ts';

/** Makes some pictures in one run of the program. Never throws: what goes wrong ends their jobs. */
export async function runChunk(chunk: readonly Picture[], chunkContext: ChunkContext): Promise<void> {
  const { context, signal } = chunkContext;
  const [first] = chunk;
  if (!first) return;
  const left = new Set(chunk);
  const pictures = chunk.map(({ work, index }) => ({ request: work.job.request, index }));
  for (const work of new Set(chunk.map((picture) => picture.work))) work.skip = false;
  try {
    const controls = await first.work.controls?.optionsFor(chunkContext.model, 'first');
    // Of a run of two passes the faces of the second are restored (`finish-picture.ts`).
    const retouch: JobImages['retouch'] = (image, index) => {
      const picture = chunk[index];
      const isLast = picture && left.has(picture) && !picture.work.job.request.hires;
      return isLast ? withRestoredFaces(picture, image, chunkContext) : image;
    };
    const images = { ...picturesOf(first), controls, retouch };
    const pipeline = pipelineOf(chunkContext, pictures, images, context.policy, signal);
    for await (const event of inTurns(pipeline, useOf(chunk, first.work.job.owner, chunkContext))) {
      if (event.kind === 'step') {
        checkSteps(event.step, first.work.job.request, context);
        await onStep(event, chunk, left, chunkContext);
        if (left.size === 0) break;
      } else if (event.kind === 'images') {
        for (const made of event.images) {
          const picture = chunk[made.index];
          if (picture && left.has(picture)) {
            const latent = takeBatch(event.latents, made.index, made.index + 1);
            await finishPicture(picture, made, latent, chunkContext);
          }
        }
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    // If one picture became NaN, the others of the batch are generated alone; so are those that do not fit into memory together.
    if (chunk.length > 1 && error instanceof StableDiffusionError && alone.has(error.code)) {
      for (const picture of left) await runChunk([picture], chunkContext);
      return;
    }
    for (const work of new Set(chunk.map((picture) => picture.work))) await chunkContext.fail(work, error);
  }
}

/** Errors that a single picture of the chunk may not meet. */
const alone: ReadonlySet<string> = new Set(['not-finite', 'too-large']);

/** The work of a run is charged to the callers of its pictures. */
function useOf(chunk: readonly Picture[], owner: string, { context, signal }: ChunkContext): TurnUse<PipelineEvent> {
  const works = new Set(chunk.map(({ work }) => work));
  const perStep = chunk.map(({ work: { job } }) => [job.owner, workOfStep(job.request, 1)] as const);
  return {
    turns: context.turns,
    owner,
    signal,
    workOf: ({ kind }) => (kind === 'step' ? perStep : []),
    onSpent: (seconds) => spend(works, seconds, context),
  };
}

type StepEvent = Extract<PipelineEvent, { kind: 'step' }>;

async function onStep(
  event: StepEvent,
  chunk: readonly Picture[],
  left: Set<Picture>,
  chunkContext: ChunkContext,
): Promise<void> {
  await tellStep(event, chunk, left, chunkContext.context);
  await giveUp(event, chunk, left, chunkContext);
}

/** Notifies the listeners of each job, with previews if requested. */
async function tellStep(
  event: StepEvent,
  chunk: readonly Picture[],
  left: ReadonlySet<Picture>,
  { queue, now }: RunContext,
): Promise<void> {
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
}

/** Pictures of jobs that were stopped are given up, or stored as far as they are. */
async function giveUp(
  event: StepEvent,
  chunk: readonly Picture[],
  left: Set<Picture>,
  chunkContext: ChunkContext,
): Promise<void> {
  const { model, signal } = chunkContext;
  for (const picture of [...left]) {
    const { work } = picture;
    if (!work.stop && !work.skip) continue;
    left.delete(picture);
    if (work.stop === 'cancel' || event.step === event.steps) continue;
    // What there is, as A1111 gives it: the model's guess so far.
    work.interrupted = true;
    // A part of a picture is none.
    if (work.job.request.outpaint) continue;
    const at = chunk.indexOf(picture);
    const [image] = tensorToImages(
      await model.decodeLatent(takeBatch(event.denoised, at, at + 1), signal),
    ) as Image<3>[];
    if (image) await storePicture(picture, await withRestoredFaces(picture, image, chunkContext), {}, chunkContext);
  }
}

/** `count` previews spread over the steps before the last. */
function isPreviewStep(count: number, step: number, steps: number): boolean {
  if (count === 0) return false;
  const part = (at: number): number => Math.floor((at * (count + 1)) / steps);
  return part(step) > part(step - 1) && step < steps;
}
