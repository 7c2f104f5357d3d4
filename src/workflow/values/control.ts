/** A control network applied to a conditioning, with its picture, strength and the part of the run it holds for; several form a chain. */

import type { Tensor } from '../../tensor/tensor.ts';
import type { UNetConfig } from '../../config/network-config.ts';
import type { NamedNetwork } from '../../model/network-set.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

export interface ControlNetValue {
  readonly holdsNetworks: true;
  readonly label: string;
  /** Of a ControlNet or T2I-Adapter; the model decides what fits it. */
  readonly file: WeightSource;
  /** The UNet to whose weights a file of differences is added. Default: that of the model it is used with. */
  readonly summand?: (NamedNetwork & { readonly config: UNetConfig }) | undefined;
}

export interface ControlValue extends ControlNetValue {
  /** float32 [b, 3, h, w] in 0…1. */
  readonly hint: Tensor<'float32'>;
  readonly strength: number;
  /** Shares of the run between which it holds, from 0 (noise) to 1 (picture). */
  readonly startPercent: number;
  readonly endPercent: number;
  /** Its outputs are added to this one's. */
  readonly previous?: ControlValue | undefined;
}
