/**
 * A model's network for a condition on an image under the names of a single file: `depth_model.` (MiDaS), or `embedder.` (CLIP's vision tower) with
 * the statistics of its embeddings, which diffusers keeps in `image_normalizer` and the original in a file of their own.
 */

import { withNames, withPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { Checkpoint } from './checkpoint.ts';
import {
  depthPrefix,
  embedderPrefix,
  imageConditionPart,
  imageStatisticsPart,
  statisticsPrefix,
} from './infer/image-condition.ts';
import { openAiVisionRows } from './layouts/openai-clip.ts';
import { renamed } from './rename.ts';

export function imageConditionWeights({ config, parts }: Pick<Checkpoint, 'config' | 'parts'>): WeightSource[] {
  const { image_condition: condition } = config;
  const [network, statistics] = [parts[imageConditionPart], parts[imageStatisticsPart]];
  const sources: WeightSource[] = [];
  if (network && condition?.kind === 'depth') sources.push(withPrefix(network, depthPrefix));
  if (network && condition?.kind === 'image_embedding' && condition.network) {
    const rows = openAiVisionRows({ vision_layers: condition.network.num_hidden_layers });
    sources.push(withPrefix(renamed(network, { a: 'openai-clip', b: 'transformers', rows }, 'b-to-a'), embedderPrefix));
  }
  if (statistics) sources.push(withNames(statistics, (name) => `${statisticsPrefix}${name}`));
  return sources;
}
