/** The safety checker of a model: its verdict on pictures. */

import type { IfSafetyCheckerConfig, SafetyCheckerConfig } from '../config/network-config.ts';
import { aboveThreshold, judgeSafety } from '../models/safety-verdict.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { NetworkSet } from './network-set.ts';

export interface SafetyNetwork {
  /** Side of the images. */
  readonly imageSize: number;
  /** Normalised CLIP images [b, 3, side, side] → whether each is to be black. */
  flagged(pixels: Tensor<'float32'>, signal?: AbortSignal): Promise<readonly boolean[]>;
}

const isSet = ({ data }: Tensor<'uint8'>): readonly boolean[] => Array.from(data, (flag) => flag === 1);

export function safetyNetwork(
  config: SafetyCheckerConfig | IfSafetyCheckerConfig,
  networks: NetworkSet,
  network = 'safety',
): SafetyNetwork {
  const run = (outputs: readonly string[], pixels: Tensor<'float32'>, signal?: AbortSignal) =>
    networks.run({ network, outputs }, { clip_input: pixels }, signal);
  return {
    imageSize: config.vision_config.image_size,
    async flagged(pixels, signal) {
      if (config.kind === 'safety_checker') {
        const { special_margin, concept_margin } = await run(['special_margin', 'concept_margin'], pixels, signal);
        return isSet(judgeSafety(special_margin as Tensor, concept_margin as Tensor).hasNsfw);
      }
      const { p_score, w_score } = await run(['p_score', 'w_score'], pixels, signal);
      const [unwanted, marked] = [p_score, w_score].map((score) => isSet(aboveThreshold(score as Tensor)));
      return (unwanted ?? []).map((flag, i) => flag || marked?.[i] === true);
    },
  };
}
