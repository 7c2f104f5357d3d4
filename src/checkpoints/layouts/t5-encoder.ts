/** T5's encoder from files of transformers: the whole T5 holds a decoder too, and the embedding may be under the encoder's name or both. */

import { withNames } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

const shared = 'shared.weight';
const alias = 'encoder.embed_tokens.weight';

export function t5EncoderWeights(source: WeightSource): WeightSource {
  const hasShared = source.entries.has(shared);
  return withNames(source, (name) => {
    if (name.startsWith('decoder.') || name === 'lm_head.weight') return undefined;
    if (name !== alias) return name;
    return hasShared ? undefined : shared;
  });
}
