/** The run of one model: for each batch plan, condition, start, sample, finish. */

import { throwIfAborted } from '../errors.ts';
import type { SplitOptions } from '../generation/split-options.ts';
import type { Image } from '../image/image.ts';
import { freeDenoiser, freeTextEncoders } from '../model/free-networks.ts';
import type { Model } from '../model/model.ts';
import { joinBatches } from '../tensor/batches.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { GeneratedImage, Pipeline } from './events.ts';
import { finishPictures } from './finish-pictures.ts';
import { conditionBatch, type GuideBatch } from './guided-model.ts';
import { noiseStream } from './noise-stream.ts';
import { planRun } from './plan-run.ts';
import { rehearseBatch, sampleBatch } from './sample-batch.ts';
import { shownMasks } from './soft-overlay.ts';
import type { Start } from './start.ts';

/**
 * The pictures of a request that is checked already. `start` replaces the start of the task.
 * @throws `invalid-argument`, `too-large`, `shape-mismatch`, `aborted`, `not-finite`, `engine-failed`
 */
export async function* runStage(model: Model, options: SplitOptions, start?: Start): Pipeline {
  const plan = await planRun(model, options, start);
  const { batches, inputs } = plan;
  const stream = noiseStream(plan);
  const made: GeneratedImage[] = [];
  const latents: Tensor<'float32'>[] = [];
  let firstNoise: Tensor<'float32'> | undefined;
  let guide: GuideBatch | undefined;
  const { largestRun: needed } = plan;
  const models = [model, ...(plan.refiner ? [plan.refiner.model] : [])];
  for (const batch of batches) {
    throwIfAborted(inputs.signal);
    const isLast = batch.iteration === batches.iterations;
    if (!batch.isMade) {
      await rehearseBatch(plan, batch, stream);
      continue;
    }
    if (!guide || !batches.areAlike) {
      yield { kind: 'stage', stage: 'text' };
      guide = await conditionBatch(plan, batch);
      for (const one of models) await freeTextEncoders(one, { isDone: batches.areAlike || isLast, needed });
    }
    const noise = stream.of(batch);
    if (plan.start.prepare) yield { kind: 'stage', stage: 'image' };
    const drawStart = stream.startNoise(batch);
    const prepared = (await plan.start.prepare?.(noise, batch.batch, drawStart)) ?? {};
    const startNoise = drawStart();
    firstNoise ??= startNoise;
    yield { kind: 'stage', stage: 'sampling' };
    const latent = yield* sampleBatch(plan, batch, { guide, noise, startNoise, start: prepared });
    latents.push(latent);
    for (const one of models) await freeDenoiser(one, { isDone: isLast, needed });
    yield { kind: 'stage', stage: 'decoding' };
    const shown = shownMasks(prepared.inpainting, latent, plan);
    const finished = await finishPictures(plan, batch, latent);
    const images = shown ? finished.map((one, i) => ({ ...one, shownMask: shown[i] as Image<1> })) : finished;
    made.push(...images);
    yield { kind: 'images', iteration: batch.iteration, images, latents: latent };
  }
  if (firstNoise) yield { kind: 'result', images: made, latents: joinBatches(latents), startNoise: firstNoise };
}
