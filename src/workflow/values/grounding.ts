/** GLIGEN, and the phrases in boxes that it places for one entry of a conditioning. */

import type { Tensor } from '../../tensor/tensor.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

export interface GroundingValue {
  readonly holdsNetworks: true;
  readonly label: string;
  readonly file: WeightSource;
}

export interface GroundedPhrase {
  /** float32 [1, width]: the text encoder's pooled vector, without its projection. */
  readonly embedding: Tensor<'float32'>;
  /** In latent elements. */
  readonly area: { readonly height: number; readonly width: number; readonly top: number; readonly left: number };
}

export interface GroundedPhrases {
  readonly gligen: GroundingValue;
  readonly phrases: readonly GroundedPhrase[];
}
