/** Start: the part that differs between tasks, that is, the initial state of a batch and the treatment of its decoded images. */

import type { Inpainting, Sampler } from '../diffusion/sampler.ts';
import type { AnyInputs } from '../generation/inputs.ts';
import type { GenerationRecord } from '../generation/record.ts';
import type { RequestOf, Task } from '../generation/request.ts';
import type { ScheduleCut } from '../generation/strength-steps.ts';
import type { Image } from '../image/image.ts';
import type { Model } from '../model/model.ts';
import type { SeededNoise } from '../random/noise-source.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { PictureSize } from './picture-size.ts';

/** Initial state of one batch, in addition to its noise. */
export interface BatchStart {
  /** Scaled latent of the initial image, float32 [b, channels, h, w]. */
  readonly initial?: Tensor<'float32'>;
  /** The part of the schedule to run on `initial`, by the sampler's space. Default: all of it. */
  readonly cut?: (space: Sampler['space']) => ScheduleCut;
  readonly inpainting?: Inpainting;
  /** Appended to the latent's channels, in the unconditional pass too. */
  readonly concat?: Tensor<'float32'>;
  /** Further inputs of the network, such as a vector of an image; and those of the unconditional pass, where they differ. */
  readonly inputs?: NetworkInputs;
  readonly unconditionalInputs?: NetworkInputs;
  /** InstructPix2Pix: scale of the guidance by the image. */
  readonly imageGuidance?: number;
}

export interface Start {
  /** Called at the start of each batch. The start noise is drawn after it, or, where the program of the noise convention draws it earlier, when `drawStart` is called. */
  readonly prepare?: (noise: SeededNoise, batch: number, drawStart: () => Tensor<'float32'>) => Promise<BatchStart>;
  /** Replaces the first draw as start noise. */
  readonly firstNoise?: (shape: readonly number[]) => Tensor<'float32'>;
  /** Changes the decoded images, float32 [b, 3, H, W] about [-1, 1]. */
  readonly revise?: (decoded: Tensor<'float32'>) => Tensor<'float32'>;
  /** The picture whose colours the result takes over. */
  readonly colors?: Image<3> | undefined;
  /** Digests of the input pictures. */
  readonly digests?: Omit<GenerationRecord['digests'], 'startNoise'>;
}

export type StartOf<T extends Task> = (
  model: Model,
  request: RequestOf<T>,
  inputs: AnyInputs,
  size: PictureSize,
) => Start | Promise<Start>;
