/** One batch through the sampler. */

import type { ControlProgress } from '../diffusion/control/control-window.ts';
import type { Latent } from '../diffusion/denoiser.ts';
import type { Network } from '../diffusion/guidance.ts';
import type { Sampling } from '../diffusion/sampler.ts';
import { StableDiffusionError } from '../errors.ts';
import type { Batch } from '../generation/batches.ts';
import type { Model } from '../model/model.ts';
import { previewImages } from '../model/preview.ts';
import type { SeededNoise } from '../random/noise-source.ts';
import { elementCount, type Tensor, tensor } from '../tensor/tensor.ts';
import type { PipelineEvent } from './events.ts';
import { conditionBatch, type GuideBatch, unguided } from './guided-model.ts';
import type { NoiseStream } from './noise-stream.ts';
import type { RunPlan } from './plan-run.ts';
import type { RunDenoiser } from './additions.ts';
import { denoiserOf } from './run-denoiser.ts';
import type { BatchStart } from './start.ts';

export interface BatchParts {
  readonly guide: GuideBatch;
  readonly noise: SeededNoise;
  readonly startNoise: Tensor<'float32'>;
  readonly start: BatchStart;
}

/** In a rehearsal no network is run. */
async function quantized(model: Model, latent: Latent, isRehearsal: boolean, signal?: AbortSignal): Promise<Latent> {
  return isRehearsal ? latent : model.quantizeLatent(latent, signal);
}

/** A network that says nothing. */
function silent(
  { denoiser: { learnsVariance } }: Model,
  [batch = 1, channels = 1, ...rest]: readonly number[],
): Network {
  const shape = [batch, (learnsVariance ? 2 : 1) * channels, ...rest];
  return async () => tensor('float32', shape, new Float32Array(elementCount(shape)));
}

/** The sampler's run. In a rehearsal the network is not run. */
function startSampling(
  plan: RunPlan,
  { guide, noise, startNoise, start }: BatchParts,
  denoiser?: RunDenoiser,
): Sampling {
  const isRehearsal = denoiser === undefined;
  const { model, request, inputs, sampling } = plan;
  const { sampler, schedule, discardNextToLastSigma, sigmaConvention } = sampling;
  const { initial, inpainting } = start;
  const { shape } = startNoise;
  return sampler.run({
    model: guide(denoiser?.network ?? silent(model, shape), start, denoiser?.terms),
    steps: request.steps,
    ...start.cut?.(sampler.space),
    startNoise,
    stepNoise: noise,
    intervalNoise: (least, greatest) => noise.interval(shape, least, greatest),
    settings: {
      ...sampling.settings,
      ...request.samplerSettings,
      ...(request.eta === undefined ? {} : { eta: request.eta }),
    },
    sigmaConvention,
    schedule,
    scheduleOptions: request.scheduleSettings,
    discardNextToLastSigma,
    initial,
    inpainting,
    ...(request.quantizeDenoised ? { quantize: (latent) => quantized(model, latent, isRehearsal, inputs.signal) } : {}),
    signal: inputs.signal,
  });
}

/** The model's denoiser with what the request adds to it, or under the controls of the run. */
async function batchDenoiser(
  { model, request, sampling, controls }: RunPlan,
  batch: Batch,
  { start, startNoise }: BatchParts,
): Promise<RunDenoiser & { readonly progress?: ControlProgress }> {
  if (!controls) return denoiserOf(model, request, startNoise.shape);
  const { steps, startStep } = start.cut?.(sampling.sampler.space) ?? { steps: request.steps, startStep: 0 };
  return { terms: [], ...(await controls.denoiser(steps - startStep, batch)) };
}

/** Samples a batch and yields its steps. Returns its latent; throws `not-finite` where that is not made of numbers. */
export async function* sampleBatch(
  plan: RunPlan,
  batch: Batch,
  parts: BatchParts,
): AsyncGenerator<PipelineEvent, Tensor<'float32'>, void> {
  const { model, request, inputs, sampling } = plan;
  const { iteration, iterations } = batch;
  await using denoiser = await batchDenoiser(plan, batch, parts);
  const { progress } = denoiser;
  const steps = startSampling(plan, parts, denoiser);
  let next = await steps.next();
  while (!next.done) {
    const { step, steps: count, sigma, latent, denoised } = next.value;
    if (progress) Object.assign(progress, { finished: step, steps: count });
    yield {
      kind: 'step',
      iteration,
      iterations,
      step,
      steps: count,
      sigma,
      latent,
      denoised,
      preview: () => previewImages(model, denoised, inputs.signal),
    };
    next = await steps.next();
  }
  const latent = next.value;
  if (!latent.data.every(Number.isFinite)) {
    throw new StableDiffusionError(
      'not-finite',
      `The ${sampling.sampler.title} sampler left the range of numbers at ${request.steps} steps with guidance ${request.guidanceScale}. Use more steps, a lower guidance scale or another sampler.`,
    );
  }
  return latent;
}

/**
 * Draws the noise of a batch that is not made, so that the random stream is where it was after it. How much noise a step draws does not depend
 * on what the network says, unless the sampler chooses its steps.
 */
export async function rehearseBatch(plan: RunPlan, batch: Batch, stream: NoiseStream): Promise<void> {
  const { start, sampling } = plan;
  const { choosesSteps = false } = sampling.sampler;
  const noise = stream.of(batch);
  if (!stream.goesOn) return;
  const guide = choosesSteps ? await conditionBatch(plan, batch) : unguided(plan);
  const drawStart = stream.startNoise(batch);
  const prepared = (await start.prepare?.(noise, batch.batch, drawStart)) ?? {};
  const parts = { guide, noise, start: prepared, startNoise: drawStart() };
  await using denoiser = choosesSteps ? await batchDenoiser(plan, batch, parts) : undefined;
  for await (const _ of startSampling(plan, parts, denoiser));
}
