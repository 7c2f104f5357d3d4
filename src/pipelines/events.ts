/** The events of a pipeline: progress, and the resulting pictures. */

import type { Image } from '../image/image.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { GenerationRecord } from '../generation/record.ts';

export interface GeneratedImage {
  readonly image: Image<3>;
  /** Everything needed to make it again. */
  readonly record: GenerationRecord;
  /** Number of the image within its batch, from 0. */
  readonly index: number;
  /** The safety checker's verdict; undefined where it did not run. Flagged images are black. */
  readonly flagged?: boolean;
  /** Soft inpainting: white where the picture differs from the original, which is meant to be laid over it elsewhere. */
  readonly shownMask?: Image<1>;
}

export type PipelineEvent =
  /** A part of the work that has no steps of its own begins. */
  | { readonly kind: 'stage'; readonly stage: 'text' | 'image' | 'sampling' | 'decoding' | 'checking' }
  | {
      readonly kind: 'step';
      /** 1 … iterations. */
      readonly iteration: number;
      readonly iterations: number;
      /** 1 … steps; of image-to-image, only the steps that are run count. */
      readonly step: number;
      readonly steps: number;
      readonly sigma: number;
      /** The batch at this point, float32 [b, channels, h, w], and the model's guess of the clean one. */
      readonly latent: Tensor<'float32'>;
      readonly denoised: Tensor<'float32'>;
      /** A picture of the guess: not computed until called. */
      readonly preview: () => Promise<Image<3>[]>;
    }
  /** The images of one iteration, and the latents that they were decoded from. */
  | {
      readonly kind: 'images';
      readonly iteration: number;
      readonly images: readonly GeneratedImage[];
      readonly latents: Tensor<'float32'>;
    }
  /** The last event: all images, and the final latents of all iterations, [images, channels, h, w]. */
  | {
      readonly kind: 'result';
      readonly images: readonly GeneratedImage[];
      readonly latents: Tensor<'float32'>;
      readonly startNoise: Tensor<'float32'>;
    };

export type Pipeline = AsyncGenerator<PipelineEvent, void, void>;
