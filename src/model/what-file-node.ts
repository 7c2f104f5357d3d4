/** What a file or folder of weights is, in a few words for a list: read from headers. */

import { isCheckpoint } from '../checkpoints/checkpoint.ts';
import { familyOf, familyOfCheckpoint } from '../checkpoints/family.ts';
import { openCheckpointAt } from '../checkpoints/open-checkpoint-node.ts';
import { putTogether } from '../checkpoints/put-together.ts';
import { familyOfPart } from '../checkpoints/what-source-is.ts';
import { StableDiffusionError } from '../errors.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';

/** `an SDXL model`; for what cannot be read, why. */
export async function whatFileIs(path: string, isModelFolder = false): Promise<string> {
  try {
    if (isModelFolder) return await modelAt(path);
    const source = await openWeightsAt(path);
    try {
      return (
        familyOf(source.entries)?.name ??
        (isCheckpoint(await putTogether(source, {}))
          ? await modelAt(path)
          : (familyOfPart(source)?.name ?? 'of no kind that is known'))
      );
    } finally {
      await source.close();
    }
  } catch (error) {
    if (!(error instanceof StableDiffusionError)) throw error;
    return error.message;
  }
}

async function modelAt(path: string): Promise<string> {
  const checkpoint = await openCheckpointAt(path);
  await checkpoint.close();
  return familyOfCheckpoint(checkpoint.config)?.name ?? `a model for ${checkpoint.kind}`;
}
