/** From a generated picture to a file in the store: second pass, overlay, settings, encoding. */

import { nodeImageCodec } from '../../image/codec/codec-node.ts';
import type { Image } from '../../image/image.ts';
import { withShownMask } from '../../image/inpaint-region.ts';
import type { GeneratedImage } from '../../pipelines/events.ts';
import { type GenerationRecord, programName } from '../../generation/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { workOfStep } from '../admission/work.ts';
import type { JobRequest } from '../job.ts';
import { persist } from './persist.ts';
import { composeOffThread } from './picture-thread.ts';
import { type FirstPass, secondPass } from './pipeline-of.ts';
import { withRestoredFaces } from './restored-faces.ts';
import { settingsText } from './settings-text.ts';
import { checkSteps, spend } from './spend.ts';
import { inTurns } from './turns.ts';
import { type ChunkContext, type Picture, picturesOf } from './work.ts';

/** Runs the second pass, if any, and stores the picture. */
export async function finishPicture(
  picture: Picture,
  made: GeneratedImage,
  latent: Tensor<'float32'>,
  chunkContext: ChunkContext,
): Promise<void> {
  const { work } = picture;
  const { request } = work.job;
  let [image, { record, flagged }] = [made.image, made];
  if (request.hires && !flagged) {
    const better = await makeSecondPass(picture, request.hires, { made: image, latent }, chunkContext);
    if (better) ({ image, record, flagged } = better);
    else image = await withRestoredFaces(picture, image, chunkContext);
  }
  if (work.stop === 'cancel') return;
  const { overlay } = picturesOf(picture);
  const { shownMask } = made;
  const above = overlay && shownMask ? withShownMask(overlay, shownMask) : overlay;
  const whole = above && !flagged ? await composeOffThread(above, image) : image;
  await storePicture(picture, whole, { record, flagged }, chunkContext);
}

/** A1111's "hires. fix". Undefined if it was stopped before its end. */
async function makeSecondPass(
  picture: Picture,
  hires: NonNullable<JobRequest['hires']>,
  first: Omit<FirstPass, 'controls'>,
  chunkContext: ChunkContext,
): Promise<GeneratedImage | undefined> {
  const { work, index } = picture;
  const { context, model, signal } = chunkContext;
  const { job } = work;
  const { request, owner, id } = job;
  // A1111 changes the model and the LoRAs between the passes where the second has others.
  const own = hires.model ?? (hires.loras ? request.model : undefined);
  const loaded = own === undefined ? undefined : await context.models.acquire(own, hires.loras, request.vae);
  try {
    const other = loaded?.model ?? model;
    const controls = await work.controls?.optionsFor(other, 'second');
    const retouch: FirstPass['retouch'] = (image) => withRestoredFaces(picture, image, chunkContext);
    const start = { ...first, controls, retouch };
    const again = await secondPass(other, { request, index }, hires, start, context.policy, signal);
    const events = inTurns(again, {
      turns: context.turns,
      owner,
      signal,
      workOf: ({ kind }) => (kind === 'step' ? [[owner, workOfStep({ ...request, ...hires }, 1)] as const] : []),
      onSpent: (seconds) => spend([work], seconds, context),
    });
    for await (const event of events) {
      if (event.kind === 'images') return event.images[0];
      if (event.kind !== 'step') continue;
      checkSteps(event.step, { ...request, sampler: hires.sampler ?? request.sampler }, context);
      work.stepsDone++;
      context.queue.publish({
        kind: 'step',
        id,
        done: Math.min(work.stepsDone, work.stepsTotal),
        total: work.stepsTotal,
        step: event.step,
        steps: event.steps,
        pictures: work.images.filter(Boolean).length,
      });
      if (!work.stop) continue;
      work.interrupted = true;
      return undefined;
    }
    return undefined;
  } finally {
    loaded?.release();
  }
}

/** Whether the record in the file makes the picture again: not if the server changes the picture before or after the run. */
function isReplayable({ task, hires, restoreFaces }: JobRequest): boolean {
  return task !== 'inpaint' && !hires && !restoreFaces;
}

/** Encodes and stores a picture, and notes it as the job's. */
export async function storePicture(
  { work, index }: Picture,
  image: Image<3>,
  made: { readonly record?: GenerationRecord; readonly flagged?: boolean },
  { context, modelHash, modelName, modelFile }: ChunkContext,
): Promise<void> {
  const { request } = work.job;
  const infotext = settingsText({ request, index, model: modelName, modelHash, version: programName });
  const recorded = (record: GenerationRecord): GenerationRecord => ({
    ...record,
    ...work.controls?.recorded(record),
    model: modelFile,
  });
  const metadata = {
    parameters: infotext,
    ...(made.record && isReplayable(request) ? { record: recorded(made.record) } : {}),
  };
  const { type, quality } = request.format;
  const file = await nodeImageCodec.encode(
    image,
    type === 'png' ? { format: 'png', metadata } : { format: type, quality, metadata },
  );
  // The queue's entry is not flushed either; after a power loss the picture is generated again.
  const id = await persist(() => context.store.put(file, { flush: 'soon' }), { patient: false });
  const { outputs } = context;
  const seed = request.seeds[index] ?? 0;
  if (outputs && !made.flagged)
    await outputs
      .save({ owner: work.job.owner, seed, ending: type === 'jpeg' ? 'jpg' : type, bytes: file })
      .catch(context.onTroubleSaving);
  work.images[index] = {
    id,
    mediaType: `image/${type}`,
    width: image.width,
    height: image.height,
    seed,
    subseed: request.subseeds[index] ?? 0,
    prompt: request.prompts[index] ?? '',
    infotext,
    flagged: made.flagged,
  };
}
