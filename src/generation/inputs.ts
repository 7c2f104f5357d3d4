/** Inputs that are not plain data and so not part of a request: a sampler object, a signal, tensors and pictures. */

import type { Sampler } from '../diffusion/sampler.ts';
import type { Image } from '../image/image.ts';
import type { Model } from '../model/model.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { RequestInputOf, Task } from './request.ts';

/** Inputs of every task. */
export interface GenerationInputs {
  /** Start noise instead of that of the seed: float32 [b, channels, h, w], standard normal. */
  readonly startNoise?: Tensor<'float32'> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The options that a library function takes for a task: its request, and the other inputs. */
type Options<T extends Task> = Omit<RequestInputOf<T>, 'task' | 'sampler' | 'refiner'> &
  GenerationInputs & {
    /** As in the request, or a sampler object. */
    readonly sampler?: string | Sampler | undefined;
    /** The loaded model that ends the run, such as SDXL's refiner; it stays the caller's. */
    readonly refiner?: Model | undefined;
  };

export interface TextToImageOptions extends Options<'txt2img'> {}

export interface ImageToImageOptions extends Options<'img2img'> {
  /** The image to start from. */
  readonly image: Image;
}

export interface InpaintOptions extends Options<'inpaint'> {
  /** The image to paint in. */
  readonly image: Image;
  /** White (from 128) is painted, black is kept. Resized to the image if its size differs. */
  readonly mask: Image;
}

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
  readonly image?: Image | undefined;
  readonly mask?: Image | undefined;
}
