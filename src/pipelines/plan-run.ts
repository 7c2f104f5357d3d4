/** The plan of a run: its options checked against the model, before anything is computed. */

import type { SplitOptions } from '../generation/split-options.ts';
import { samplers } from '../diffusion/samplers/index.ts';
import { type Batches, batchesOf } from '../generation/batches.ts';
import { StableDiffusionError } from '../errors.ts';
import type { GenerationRequest } from '../generation/request.ts';
import type { Model } from '../model/model.ts';
import { type ChosenSampler, chooseSampler } from './choose-sampler.ts';
import { checkSize, pictureSize } from './picture-size.ts';
import { withoutNetworks } from './prompt-networks.ts';
import { checkClassifier } from './guided-by-classifier.ts';
import { type Refiner, refinerOf } from './refiner.ts';
import type { ControlledRun, RunControls } from './run-controls.ts';
import { checkAdditions } from './run-denoiser.ts';
import type { Start } from './start.ts';
import { startOf } from './starts.ts';

export interface RunPlan extends SplitOptions {
  readonly model: Model;
  readonly batches: Batches;
  readonly sampling: ChosenSampler;
  readonly start: Start;
  /** The model that ends the run. */
  readonly refiner: Refiner | undefined;
  /** Undefined for a run without controls. */
  readonly controls: RunControls | undefined;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Shape of a batch's latents. */
  readonly shapeOf: (batch: number) => readonly [number, number, number, number];
  /** Bytes of values of the largest run of one of the model's networks. */
  readonly largestRun: number;
}

/** Refuses `quantizeDenoised` where it would have no effect. */
function checkQuantization({ checkpoint }: Model, request: GenerationRequest, { sampler }: ChosenSampler): void {
  if (!request.quantizeDenoised) return;
  const { kind } = checkpoint.config.first_stage_config;
  if (kind !== 'vq')
    throw new StableDiffusionError(
      'invalid-argument',
      `quantizeDenoised is for models whose first stage is a VQ autoencoder; that of ${checkpoint.label} is ${kind}.`,
    );
  if (!sampler.quantizes)
    throw new StableDiffusionError(
      'invalid-argument',
      `The ${sampler.title} sampler does not quantize its estimates. With quantizeDenoised use one of ${samplers.flatMap(({ quantizes, name }) => (quantizes ? [name] : [])).join(', ')}.`,
    );
}

/** A list of timesteps has as many steps. */
function withTimesteps(request: GenerationRequest): GenerationRequest {
  const { timesteps } = request.samplerSettings ?? {};
  return timesteps ? { ...request, steps: timesteps.length } : request;
}

function checkTimesteps({ samplerSettings }: GenerationRequest, { sampler }: ChosenSampler): void {
  if (samplerSettings?.timesteps && !sampler.takesTimesteps)
    throw new StableDiffusionError(
      'invalid-argument',
      `The ${sampler.title} sampler takes no list of timesteps. Use DDIMScheduler or DDPMScheduler.`,
    );
}

/** Soft inpainting mixes by the noise level, which samplers in timesteps do not have. */
function checkSoftInpainting(request: GenerationRequest, { sampler }: ChosenSampler): void {
  if ('softInpainting' in request && request.softInpainting && sampler.space === 'timestep')
    throw new StableDiffusionError(
      'invalid-argument',
      `The ${sampler.title} sampler does no soft inpainting. Use a sampler in sigma space, such as Euler.`,
    );
}

/** Refuses the small decoder where none was loaded, or where it cannot do what the run asks of the autoencoder. */
function checkDecoder({ hasPreviewDecoder, label }: Model, { decoder, seamless, patches }: GenerationRequest): void {
  if (decoder !== 'taesd') return;
  if (!hasPreviewDecoder)
    throw new StableDiffusionError(
      'invalid-argument',
      `decoder is taesd, and ${label} was loaded without one. Give its file (--taesd, or taesd of loadModel).`,
    );
  if (seamless || patches)
    throw new StableDiffusionError(
      'invalid-argument',
      'The decoder taesd makes no seamless pictures and no patches. Leave it out, or these.',
    );
}

/** `runControls`, which a page loads with the first control. */
async function controlsOf(run: ControlledRun): Promise<RunControls | undefined> {
  if (!run.inputs.controls) return undefined;
  const { runControls } = await import('./run-controls.ts');
  return runControls(run);
}

/** Throws `invalid-argument`, `too-large`, `shape-mismatch`. */
export async function planRun(model: Model, options: SplitOptions, given?: Start): Promise<RunPlan> {
  const { inputs } = options;
  const request = withTimesteps(withoutNetworks(model, options.request));
  const batches = batchesOf(request);
  const { width, height } = pictureSize(model, request, inputs);
  checkSize(model, width, height, batches.largest, request.patches);
  const sampling = await chooseSampler(model, request, inputs.samplerObject);
  checkQuantization(model, request, sampling);
  checkTimesteps(request, sampling);
  checkSoftInpainting(request, sampling);
  checkDecoder(model, request);
  const refiner = refinerOf(model, options, sampling);
  const shapeOf: RunPlan['shapeOf'] = (batch) => [
    batch,
    model.latentChannels,
    height / model.downsampling,
    width / model.downsampling,
  ];
  const calls = request.guidanceScale === 1 && !sampling.sampler.needsUnconditional ? 1 : 2;
  const [, , rows, columns] = shapeOf(1);
  const largestRun = model.checkMemory(batches.largest * calls, rows, columns, request.patches);
  const { startNoise } = inputs;
  const wanted = shapeOf(batches.largest);
  if (startNoise && startNoise.shape.join() !== wanted.join()) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `The start noise has shape [${startNoise.shape.join(', ')}]; it must be [${wanted.join(', ')}].`,
    );
  }
  const start = given ?? (await startOf(model, request, inputs, { width, height }));
  const controls = await controlsOf({ model, request, inputs, size: { width, height } });
  checkClassifier(model, options, shapeOf(1));
  checkAdditions(model, request, { hasRefiner: inputs.refiner !== undefined, hasControls: controls !== undefined });
  const size = { width, height, shapeOf, largestRun };
  return { ...options, ...size, request, model, batches, sampling, start, refiner, controls };
}
