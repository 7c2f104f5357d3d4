/** Whether a file is a textual inversion, by the names of its tensors: the original program's, A1111's, diffusers', and those for several encoders. */

import type { WeightEntry } from '../weights/weight-source.ts';

const vector = /^(?:emb_params|string_to_param[./].*|clip_[lg]|t5xxl|<.*>|\*)$/;

/** One tensor of vectors for each encoder: three at most. */
const mostEncoders = 3;

export function isEmbedding(entries: ReadonlyMap<string, WeightEntry>): boolean {
  if (entries.size === 0) return false;
  if ([...entries.keys()].some((name) => name.startsWith('string_to_param/'))) return true;
  return (
    entries.size <= mostEncoders &&
    [...entries].every(([name, { shape }]) => vector.test(name) && (shape.length === 1 || shape.length === 2))
  );
}
