/** An upscaler architecture: how its files are recognised, its sizes from shapes, and its graph. */

import type { Entries } from '../../checkpoints/infer/shapes.ts';
import type { Graph } from '../../graph/graph.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

/** Height and width, pixels. */
export type ImageSize = readonly [height: number, width: number];

/** A network that makes pictures larger or cleaner, read from a file. */
export interface UpscalerNetwork {
  /** Name of the architecture as spandrel writes it: `ESRGAN`, `Compact`, `SwinIR`, `DAT`, `SCUNet`. */
  readonly architecture: string;
  /** Scale factor of the result per side. */
  readonly scale: number;
  /** Channels of the picture: 3 for colour, 1 for grey. */
  readonly channels: number;
  readonly purpose: 'SR' | 'Restoration';
  /** Sizes read from the shapes, in spandrel's words: `64nf`, `23nb`. */
  readonly tags: readonly string[];
  /** Sides of pictures are extended to at least this, and to multiples of it, before the network sees them (spandrel's size requirements). */
  readonly picture: { readonly minimum: number; readonly multiple: number };
  /** The graph takes sides that are multiples of this; others are extended by reflection and the result is cropped. */
  readonly multiple: number;
  /** True if the graph depends on the picture size. */
  readonly fixedSize: boolean;
  /** Weights under the names of the graph's parameters. */
  readonly weights: WeightSource;
  /** x [batch, channels, h, w] about [0, 1] → out [batch, channels, scale · h, scale · w], not clamped. Batch is 1 where `fixedSize`. */
  readonly trace: (size: ImageSize) => Graph;
}

export interface ReadOptions {
  /** Side of the pictures that the network was trained on, for architectures whose files do not state it. Default: the published networks'. */
  readonly trainingSize?: number;
}

export interface UpscalerArchitecture {
  readonly name: string;
  /** True for names of this architecture, given without the wrapper of a training checkpoint. */
  readonly matches: (entries: Entries) => boolean;
  /** Reads sizes from names and shapes. Throws `model-unknown` where they contradict each other. */
  readonly read: (source: WeightSource, options?: ReadOptions) => UpscalerNetwork;
}

export const purposeOf = (scale: number): UpscalerNetwork['purpose'] => (scale === 1 ? 'Restoration' : 'SR');
