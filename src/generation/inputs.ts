/** Inputs that are not plain data and so not part of a request: a sampler object, a signal, tensors and pictures. */

import type { SamplerName, ScheduleName } from '../diffusion/name-literals.ts';
import type { Sampler } from '../diffusion/sampler.ts';
import type { Image } from '../image/image.ts';
import type { Classifier } from '../model/classifier.ts';
import type { Model } from '../model/model.ts';
import type { NoiseSource, SeededNoise } from '../random/noise-source.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { ControlInputs, ControlOptions } from './control-inputs.ts';
import type { RequestInputOf, Task } from './request.ts';
import type { StageSettings } from './stage-fields.ts';

/** What a prompt and its negative are for the network, by the names of its inputs: `context` float32 [n, tokens, width], …; n is 1 or the batch's. */
export interface EncodedPrompts {
  readonly prompt: NetworkInputs;
  /** Needed for guidance. */
  readonly negative?: NetworkInputs | undefined;
}

/** Inputs of every task. */
export interface GenerationInputs {
  /** Encoded prompts in place of those of the request, such as another model with the same text encoder made them (diffusers' `prompt_embeds`). A record does not hold them. */
  readonly encoded?: EncodedPrompts | undefined;
  /** Start noise instead of that of the seed: float32 [b, channels, h, w], standard normal. */
  readonly startNoise?: Tensor<'float32'> | undefined;
  /**
   * Where the run's random numbers come from, instead of the seed: each batch's draws in the order of the request's noise convention, without
   * the start noise where `startNoise` is given. A record does not hold them.
   */
  readonly noiseSource?: GivenNoise | undefined;
  /** Changes each picture after it was decoded and checked, before its colours are corrected and it is marked; the index is its place in the batch. A record does not hold it. */
  readonly retouch?: ((image: Image<3>, index: number) => Image<3> | Promise<Image<3>>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A caller's own source of noise. Without `interval`, SDE samplers draw from `normal`. */
export type GivenNoise = NoiseSource & Partial<SeededNoise>;

/** The options that a library function takes for a task: its request, and the other inputs. */
type Options<T extends Task> = Omit<
  RequestInputOf<T>,
  'task' | 'sampler' | 'schedule' | 'refiner' | 'classifier' | 'enlarge' | keyof ControlOptions
> &
  GenerationInputs &
  ControlOptions & {
    /** As in the request, or a sampler object. */
    readonly sampler?: SamplerName | Sampler | undefined;
    /** As in the request. */
    readonly schedule?: ScheduleName | undefined;
    /** The loaded model that ends the run, such as SDXL's refiner; it stays the caller's. */
    readonly refiner?: Model | undefined;
    /** The loaded classifier that guides the run towards `classLabels`, by `classifierScale`; it stays the caller's. */
    readonly classifier?: Classifier | undefined;
    /** The stages that enlarge the picture, with their loaded models, which stay the caller's. */
    readonly enlarge?: readonly EnlargingStage[] | undefined;
  };

/** A stage of a cascade: a model that enlarges the picture of the one before, and its settings. */
export interface EnlargingStage extends StageSettings {
  readonly model: Model;
}

export interface TextToImageOptions extends Options<'txt2img'> {}

export interface ImageToImageOptions extends Options<'img2img'> {
  /** The image to start from. One of `image`, `pixels`, `latent` and `imageEmbedding` is needed. */
  readonly image?: Image | undefined;
  /** The latent to start from instead, as the network has it: float32 [1 or b, channels, h, w]; such as `latents` of another run's result. */
  readonly latent?: Tensor<'float32'> | undefined;
  /** The image as a tensor instead, not rounded to bytes: float32 [1 or b, 3, h, w] in [-1, 1]. */
  readonly pixels?: Tensor<'float32'> | undefined;
  /** Enlarging models (DeepFloyd IF's later stages): the smaller picture in [-1, 1], float32 [1 or b, 3, h, w], where `image` is the one to start from. */
  readonly small?: Tensor<'float32'> | undefined;
  /** Depth models: the image's depth, near is large: float32 [1, 1, h, w] of any size. Default: what the model's own depth network sees. */
  readonly depth?: Tensor<'float32'> | undefined;
  /** Models of image variations: the embedding of the image instead of the image, float32 [1, width]. */
  readonly imageEmbedding?: Tensor<'float32'> | undefined;
}

export interface InpaintOptions extends Options<'inpaint'> {
  /** The image to paint in. */
  readonly image: Image;
  /** White (from 128) is painted, black is kept. Resized to the image if its size differs. */
  readonly mask: Image;
  /** Enlarging models (DeepFloyd IF's later stages): the smaller picture in [-1, 1], float32 [1 or b, 3, h, w]. */
  readonly small?: Tensor<'float32'> | undefined;
}

/** Names of the tensors that a caller can give for an image, with their number of axes. */
export const tensorAxes = { latent: 4, pixels: 4, small: 4, depth: 4, imageEmbedding: 2 } as const;
export type GivenTensors = { readonly [K in keyof typeof tensorAxes]?: Tensor<'float32'> | undefined };

/** The options that every task has. */
export type GenerateOptions = TextToImageOptions;

/** Options of any task, with the task. */
export type TaskOptions =
  | ({ readonly task: 'txt2img' } & TextToImageOptions)
  | ({ readonly task: 'img2img' } & ImageToImageOptions)
  | ({ readonly task: 'inpaint' } & InpaintOptions);

/** Inputs, other than the request, of any task. */
export interface AnyInputs extends GenerationInputs {
  readonly samplerObject?: Sampler | undefined;
  readonly refiner?: Model | undefined;
  readonly classifier?: Classifier | undefined;
  /** Models of the request's `enlarge`, in their order. */
  readonly enlargers?: readonly Model[] | undefined;
  readonly image?: Image | undefined;
  readonly mask?: Image | undefined;
  /** By their names in `ImageToImageOptions`. */
  readonly tensors: GivenTensors;
  readonly controls?: ControlInputs | undefined;
}
