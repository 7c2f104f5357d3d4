/** VAE: a first stage. Pictures are [b, 3, h, w] in [-1, 1] inside, [b, h, w, 3] in 0…1 between nodes. */

import type { ModelFamily } from '../../checkpoints/model-families.ts';
import type { FirstStageConfig } from '../../config/network-config.ts';
import type { NamedNetwork } from '../../model/network-set.ts';

export interface VaeValue {
  readonly holdsNetworks: true;
  readonly label: string;
  readonly network: NamedNetwork & { readonly config: FirstStageConfig };
  /** Pixels along each axis of one latent element. */
  readonly downsampling: number;
  /** Of the models whose latents it reads, where its checkpoint or its metadata tells. */
  readonly family?: ModelFamily | undefined;
}
