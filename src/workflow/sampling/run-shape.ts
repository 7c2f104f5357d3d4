/** What every part of a run knows. */

import type { Seed } from '../../random/seed.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import type { Tensor } from '../../tensor/tensor.ts';

type Float32 = Tensor<'float32'>;

/** What a run knows besides the entries. */
export interface RunShape {
  /** [b, channels, h, w] of the latent. */
  readonly shape: readonly number[];
  /** The latent of the start, scaled. */
  readonly latent: Float32;
  /** [b, 1, h, w]: 1 where the picture is made again, 0 where it is kept. */
  readonly mask?: Float32 | undefined;
  /** The generator of the start noise, for draws that have none of their own. */
  readonly random: TorchGenerator;
  readonly seed: Seed;
}
