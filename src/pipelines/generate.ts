/**
 * The common part of text-to-image, image-to-image and inpainting: conditions, noise, sampling, decoding, safety, watermark.
 *
 * The order of random draws is that of CompVis's scripts: what `prepare` draws (posterior of the initial image), start noise, steps.
 */

import { composedModel } from '../diffusion/composed-guidance.ts';
import { type Condition, guidedModel, type Network } from '../diffusion/guidance.ts';
import { diffusersSampler } from '../diffusion/diffusers/scheduler.ts';
import { type DiffusersSchedulerConfig, diffusersSchedulerClasses } from '../diffusion/diffusers/scheduler-config.ts';
import { type NamedSampling, namedSampling, type SamplerPeer } from '../diffusion/sampler-names.ts';
import type { Inpainting, Sampler, SamplerSettings } from '../diffusion/sampler.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { ByteConvention } from '../image/image-tensor.ts';
import { canWatermark, embedWatermark } from '../image/watermark.ts';
import { createNoise, type NoiseOptions } from '../random/create-noise.ts';
import type { NoiseConvention, SeededNoise } from '../random/noise-source.ts';
import { joinBatches, takeBatch } from '../tensor/batches.ts';
import { bytesOf, elementCount, type Tensor, tensor } from '../tensor/tensor.ts';
import { type BatchSettings, batchesOf, wholeNumber } from './batch-settings.ts';
import { type Conditions, conditionsOf } from './conditions.ts';
import { digestBytes } from './digest.ts';
import type { GeneratedImage, Pipeline } from './events.ts';
import { checkImages, decodeBatch } from './finish-pictures.ts';
import type { Model } from '../model/model.ts';
import { previewImages } from '../model/preview.ts';
import type { PromptSettings } from './prompt-contexts.ts';
import { type GenerationRecord, programName } from './record.ts';

/** Settings that all pipelines share. */
export interface GenerateOptions {
  /** One prompt for all images of a batch, or one for each. Class-conditional models take `classLabels` instead. */
  readonly prompt?: string | readonly string[];
  /** Several batches of prompts instead, one after the other, as `--from-file` of CompVis's scripts: each iteration runs all of them, and the noise goes on. Each batch counts as an iteration in events and records. */
  readonly promptBatches?: readonly (readonly string[])[];
  /** The first of these iterations that is made; of those before it only the noise is drawn. Default 1. For `sd replay`. */
  readonly firstIteration?: number;
  /** One for all images of a batch, or one for each. */
  readonly negativePrompt?: string | readonly string[];
  /**
   * How prompts are read: `plain`, as CompVis, where brackets are text and what is beyond 75 tokens is cut; or `a1111`, with weights
   * (`(word:1.3)`), schedules (`[from:to:0.5]`, `[a|b]`), `AND`, `BREAK`, comments and any length. Default `plain`.
   */
  readonly promptSyntax?: 'plain' | 'a1111';
  /** Options of A1111's syntax. */
  readonly promptSettings?: PromptSettings;
  readonly classLabels?: readonly number[];
  /** Steps of the whole schedule. Default 50. */
  readonly steps?: number;
  /**
   * Name of a sampler, ours, CompVis's, A1111's or ComfyUI's; a class of diffusers (`PNDMScheduler`), with the settings of the model's
   * folder where it has them; or a sampler of one's own. Default ddim; for a diffusers folder with `noise: 'diffusers'`, its scheduler.
   */
  readonly sampler?: string | Sampler;
  /** Name of the spacing of the steps; by default the sampler's own. */
  readonly schedule?: string;
  /** Classifier-free guidance: 1 is none. Default 7.5. */
  readonly guidanceScale?: number;
  /** Share by which guidance's gain in contrast is taken back (Lin et al. 2023). Default 0. */
  readonly guidanceRescale?: number;
  /** Amount of fresh noise in each step; by default the sampler's own. */
  readonly eta?: number;
  readonly samplerSettings?: SamplerSettings;
  /** Default 42, as CompVis's scripts. */
  readonly seed?: number;
  /** A1111's conventions and diffusers': a seed for each image of the batch instead, so that an image does not depend on the others. With it there is one iteration. */
  readonly seeds?: readonly number[];
  /** Whose way of drawing noise. Default compvis. */
  readonly noise?: NoiseConvention;
  /** A1111's conventions: variation, size of the composition, and other seeds for the steps. */
  readonly noiseSettings?: Pick<NoiseOptions, 'subseed' | 'subseedStrength' | 'seedResizeFrom' | 'etaNoiseSeedDelta'>;
  /** Images made at once. Default 1, or as many as there are prompts. */
  readonly batchSize?: number;
  /** How often the batch is repeated, with further noise. Default 1. */
  readonly iterations?: number;
  /** The same start noise for every iteration. Default false. */
  readonly fixedCode?: boolean;
  /** Start noise instead of that of the seed: float32 [b, channels, h, w], standard normal. */
  readonly startNoise?: Tensor<'float32'>;
  /** 1 takes the last layer of CLIP's text encoder, 2 the one before it. Default 1. */
  readonly clipSkip?: number;
  /** Black out what the safety checker flags, where the checkpoint has one. Default true. */
  readonly safety?: boolean;
  /** The invisible watermark, on images it fits (256 x 256 pixels). Default true. */
  readonly watermark?: boolean;
  /** How decoded values become bytes. By default diffusers's way with its noise, else CompVis's. */
  readonly bytes?: ByteConvention;
  readonly signal?: AbortSignal;
}

/** What differs between the pipelines. */
export interface Task {
  readonly pipeline: GenerationRecord['pipeline'];
  readonly width: number;
  readonly height: number;
  /** Called at the start of each iteration, before the start noise is drawn. */
  readonly prepare?: (noise: SeededNoise, batch: number) => Promise<Prepared>;
  /** Replaces the first draw as start noise. */
  readonly firstNoise?: (shape: readonly number[]) => Tensor<'float32'>;
  /** Changes the decoded images, float32 [b, 3, H, W] about [-1, 1]. */
  readonly revise?: (decoded: Tensor<'float32'>) => Tensor<'float32'>;
  readonly record?: Partial<GenerationRecord>;
}

export interface Prepared {
  readonly initial?: Tensor<'float32'>;
  readonly startStep?: number;
  readonly inpainting?: Inpainting;
  /** Appended to the latent's channels; for the unconditional pass too. */
  readonly concat?: Tensor<'float32'>;
  /** InstructPix2Pix's guidance by the image. */
  readonly imageGuidance?: number;
}

/** No picture has more pixels than this (16384 x 4096): a slip of the hand, not a picture. */
const largestPicture = 2 ** 26;

/** Checks a picture's size against the model. Throws `invalid-argument` or `too-large`, before memory is spent. */
export function checkSize(model: Model, width: number, height: number, batch: number): void {
  const unit = model.downsampling * model.latentUnit;
  for (const [name, size] of [
    ['width', width],
    ['height', height],
  ] as const) {
    if (!Number.isInteger(size) || size < unit || size % unit !== 0) {
      throw new StableDiffusionError(
        'invalid-argument',
        `The ${name} is ${size}; this model makes pictures whose sides are multiples of ${unit} pixels.`,
      );
    }
  }
  if (width * height * batch > largestPicture) {
    throw new StableDiffusionError(
      'too-large',
      `${batch} pictures of ${width} x ${height} pixels are more than the ${largestPicture} pixels allowed at once. Use a smaller size or batch.`,
    );
  }
  model.checkDecodable(height / model.downsampling, width / model.downsampling);
}

interface ChosenSampler extends Omit<NamedSampling, 'peer'> {
  /** What the record calls it. */
  readonly label: string;
}

/** The sampler that the options mean. Throws `invalid-argument` for a name that is none. */
function chooseSampler(model: Model, options: GenerateOptions, noise: NoiseConvention): ChosenSampler {
  const config = (model.checkpoint.scheduler ?? {}) as DiffusersSchedulerConfig & { readonly _class_name?: unknown };
  const plain = {
    schedule: options.schedule,
    discardNextToLastSigma: undefined,
    settings: {},
    sigmaConvention: 'k-diffusion',
  } as const;
  const name =
    options.sampler ?? (noise === 'diffusers' && typeof config._class_name === 'string' ? config._class_name : 'ddim');
  if (typeof name !== 'string') return { ...plain, sampler: name, label: name.name };
  const scheduler = diffusersSchedulerClasses.find((className) => className === name);
  if (scheduler) return { ...plain, sampler: diffusersSampler(scheduler, config), label: name };
  const peer: SamplerPeer | undefined = noise === 'comfy' ? 'comfy' : noise.startsWith('a1111') ? 'a1111' : undefined;
  return { ...namedSampling(name, { schedule: options.schedule, peer }), label: name };
}

/** Runs a task to its pictures. Throws `invalid-argument`, `too-large`, `aborted`, `not-finite`, `engine-failed`. */
export async function* generate(model: Model, options: GenerateOptions, task: Task): Pipeline {
  const batches = batchesOf(options);
  const [{ steps, guidanceScale, seed, seeds, noise: convention }] = batches;
  const iterations = batches[0].iterations * batches.length;
  const firstMade = wholeNumber('The first iteration', options.firstIteration ?? 1, 1, iterations);
  const { width, height } = task;
  const { signal } = options;
  const largest = Math.max(...batches.map(({ batch }) => batch));
  checkSize(model, width, height, largest);
  const named = chooseSampler(model, options, convention);
  const shapeOf = (batch: number): number[] => [
    batch,
    model.latentChannels,
    height / model.downsampling,
    width / model.downsampling,
  ];

  let conditions: Conditions | undefined;
  if (batches.length === 1) {
    yield { kind: 'stage', stage: 'text' };
    conditions = await conditionsOf(model, batches[0], options, named.sampler);
  }
  const createBatchNoise = (first: number): SeededNoise =>
    createNoise({ ...options.noiseSettings, convention, seed: first, ...(seeds ? { seeds } : {}) });
  let noise = createBatchNoise(seed);
  let code = options.startNoise ?? (options.fixedCode ? noise.normal(shapeOf(largest)) : undefined);
  if (code && code.shape.join() !== shapeOf(largest).join()) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `The start noise has shape [${code.shape.join(', ')}], and [${shapeOf(largest).join(', ')}] is needed.`,
    );
  }
  const givenNoise = options.startNoise && (await digestBytes(bytesOf(options.startNoise)));
  const all: GeneratedImage[] = [];
  const latents: Tensor<'float32'>[] = [];
  let startNoise: Tensor<'float32'> | undefined;
  const earlier: number[] = [];
  for (let iteration = 1; iteration <= iterations; iteration++) {
    throwIfAborted(signal);
    const settings = batches[(iteration - 1) % batches.length] as BatchSettings;
    const { batch } = settings;
    const shape = shapeOf(batch);
    // CompVis's stream goes on; the others number their batches' seeds.
    if (iteration > 1 && convention !== 'compvis')
      noise = createBatchNoise(seed + earlier.reduce((sum, size) => sum + size, 0));
    const before = [...earlier];
    earlier.push(batch);
    const made = iteration >= firstMade;
    if (!made && convention !== 'compvis') continue;
    // How much noise a step draws does not depend on what the network says, but for the sampler that chooses its steps.
    const rehearsed = !made && named.sampler.name !== 'dpm-adaptive';
    if (made && batches.length > 1) yield { kind: 'stage', stage: 'text' };
    const { condition, unconditional, promptsAt }: Conditions = rehearsed
      ? { condition: {}, unconditional: undefined }
      : (conditions ?? (await conditionsOf(model, settings, options, named.sampler)));
    if (task.prepare) yield { kind: 'stage', stage: 'image' };
    const prepared = (await task.prepare?.(noise, batch)) ?? {};
    const whole = code ?? (task.firstNoise ? task.firstNoise(shape) : noise.normal(shape));
    const start = whole.shape[0] === batch ? whole : takeBatch(whole, 0, batch);
    if (options.fixedCode) code = whole;
    if (made) startNoise ??= start;
    const withImage = (given: Condition): Condition =>
      prepared.concat ? { ...given, concat: prepared.concat } : given;
    const blank =
      prepared.concat && tensor('float32', prepared.concat.shape, new Float32Array(prepared.concat.data.length));
    const network: Network = rehearsed
      ? async () => tensor('float32', shape, new Float32Array(elementCount(shape)))
      : (inputs, cancel) => model.predict(inputs, cancel);
    const common = {
      network,
      schedule: model.schedule,
      parameterization: model.parameterization,
      scale: guidanceScale,
      rescale: options.guidanceRescale,
    };
    const byImage =
      prepared.imageGuidance !== undefined && blank ? { scale: prepared.imageGuidance, blank } : undefined;
    const guided = promptsAt
      ? composedModel({ ...common, promptsAt, concat: prepared.concat, byImage })
      : guidedModel({
          ...common,
          condition: withImage(condition),
          unconditional: unconditional && withImage(unconditional),
          ...(byImage
            ? { imageScale: byImage.scale, imageUnconditional: { ...unconditional, concat: byImage.blank } }
            : {}),
        });
    const { sampler, schedule, discardNextToLastSigma, sigmaConvention } = named;
    const sampling = sampler.run({
      model: guided,
      steps,
      startNoise: start,
      stepNoise: noise,
      intervalNoise: (least, greatest) => noise.interval(shape, least, greatest),
      settings: {
        ...named.settings,
        ...options.samplerSettings,
        ...(options.eta === undefined ? {} : { eta: options.eta }),
      },
      sigmaConvention,
      schedule,
      discardNextToLastSigma,
      ...(prepared.initial ? { initial: prepared.initial } : {}),
      startStep: prepared.startStep,
      ...(prepared.inpainting ? { inpainting: prepared.inpainting } : {}),
      ...(signal ? { signal } : {}),
    });
    if (made) yield { kind: 'stage', stage: 'sampling' };
    let next = await sampling.next();
    while (!next.done) {
      if (!made) {
        next = await sampling.next();
        continue;
      }
      const { step, latent, denoised, sigma } = next.value;
      yield {
        kind: 'step',
        iteration,
        iterations,
        step,
        steps: next.value.steps,
        sigma,
        latent,
        denoised,
        preview: () => previewImages(model, denoised, signal),
      };
      next = await sampling.next();
    }
    if (!made) continue;
    const latent = next.value;
    if (!latent.data.every(Number.isFinite)) {
      throw new StableDiffusionError(
        'not-finite',
        `The ${sampler.title} sampler left the range of numbers at ${steps} steps with guidance ${guidanceScale}. Use more steps, a lower guidance scale or another sampler.`,
      );
    }
    latents.push(latent);

    yield { kind: 'stage', stage: 'decoding' };
    const raw = await decodeBatch(model, latent, signal);
    const decoded = task.revise?.(raw) ?? raw;
    const { images, flagged } = await checkImages(model, decoded, options);
    const record = (index: number): GenerationRecord => ({
      version: 1,
      pipeline: task.pipeline,
      prompts: [...settings.prompts],
      negativePrompt: settings.negatives[index] ?? '',
      width,
      height,
      steps,
      sampler: named.label,
      guidanceScale,
      seed,
      noise: convention,
      clipSkip: settings.clipSkip,
      batchSize: batch,
      iterations,
      index,
      iteration,
      fixedCode: options.fixedCode ?? false,
      model: model.checkpoint.label,
      precision: model.precision,
      watermark: (options.watermark ?? true) && canWatermark({ width, height }),
      program: programName,
      ...(options.classLabels ? { classLabels: [...options.classLabels] } : {}),
      schedule: options.schedule,
      eta: options.eta,
      ...(options.promptSyntax === 'a1111'
        ? {
            promptSyntax: 'a1111' as const,
            ...(options.promptSettings ? { promptSettings: options.promptSettings } : {}),
          }
        : {}),
      ...(before.some((size) => size !== batch) ? { earlierBatches: before } : {}),
      startNoise: givenNoise,
      ...(model.checkpoint.ema === 'used' ? { ema: true } : {}),
      ...(model.adapters.length > 0 ? { adapters: [...model.adapters] } : {}),
      ...task.record,
      // An image with a seed of its own is made again alone.
      ...(seeds
        ? { prompts: [settings.prompts[index] ?? ''], seed: seeds[index] ?? seed, batchSize: 1, index: 0 }
        : {}),
    });
    const pictures = images.map((image, index): GeneratedImage => {
      const marked = (options.watermark ?? true) && canWatermark(image) ? embedWatermark(image) : image;
      const verdict = flagged?.[index];
      return { image: marked, index, record: record(index), flagged: verdict };
    });
    all.push(...pictures);
    yield { kind: 'images', iteration, images: pictures };
  }
  if (latents.length > 0 && startNoise)
    yield { kind: 'result', images: all, latents: joinBatches(latents), startNoise };
}
