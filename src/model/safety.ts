/** The safety checker of a model: its margins for images. `models/safety-verdict.ts` judges them. */

import type { SafetyCheckerConfig } from '../config/network-config.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { NetworkSet } from './network-set.ts';

/** The amount by which an image exceeds each concept's threshold. */
export interface SafetyMargins {
  readonly special: Tensor;
  readonly concept: Tensor;
}

export interface SafetyNetwork {
  /** Side of the images. */
  readonly imageSize: number;
  /** Normalised CLIP images [b, 3, side, side] → margins. */
  margins(pixels: Tensor<'float32'>, signal?: AbortSignal): Promise<SafetyMargins>;
}

export function safetyNetwork(config: SafetyCheckerConfig, networks: NetworkSet, network = 'safety'): SafetyNetwork {
  const outputs = ['special_margin', 'concept_margin'];
  return {
    imageSize: config.vision_config.image_size,
    async margins(pixels, signal) {
      const results = await networks.run({ network, outputs }, { clip_input: pixels }, signal);
      return { special: results['special_margin'] as Tensor, concept: results['concept_margin'] as Tensor };
    },
  };
}
