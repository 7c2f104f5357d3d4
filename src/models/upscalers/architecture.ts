/** What an architecture of upscalers is: how its files are recognised, what shapes tell, and its graph. */

import type { Entries } from '../../checkpoints/infer/shapes.ts';
import type { Graph } from '../../graph/graph.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

/** Height and width, pixels. */
export type ImageSize = readonly [height: number, width: number];

/** A network that makes pictures larger or cleaner, read from a file. */
export interface UpscalerNetwork {
  /** Name of the architecture as spandrel writes it: `ESRGAN`, `Compact`, `SwinIR`, `DAT`, `SCUNet`. */
  readonly architecture: string;
  /** How many times larger the result is along each side. */
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
  /** The graph is made for one picture size. */
  readonly fixedSize: boolean;
  /** Weights under the names of the graph's parameters. */
  readonly weights: WeightSource;
  /** x [batch, channels, h, w] about [0, 1] → out [batch, channels, scale · h, scale · w], not clamped. Batch is 1 where `fixedSize`. */
  readonly trace: (size: ImageSize) => Graph;
}

export interface ReadOptions {
  /** Side of the pictures that the network was trained on, for architectures whose files do not tell. Default: the published networks'. */
  readonly trainingSize?: number;
}

export interface UpscalerArchitecture {
  readonly name: string;
  /** Whether names are those of this architecture. Sees the names without the wrapper of a training checkpoint. */
  readonly matches: (entries: Entries) => boolean;
  /** Reads sizes from names and shapes. Throws `model-unknown` where they contradict each other. */
  readonly read: (source: WeightSource, options?: ReadOptions) => UpscalerNetwork;
}

export const purposeOf = (scale: number): UpscalerNetwork['purpose'] => (scale === 1 ? 'Restoration' : 'SR');
