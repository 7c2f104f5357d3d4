/** The facts about a model on disk, from its header and configuration. */

import { openCheckpointAt } from '../checkpoints/open-checkpoint-node.ts';
import { type CheckpointFacts, checkpointFacts } from './checkpoint-facts.ts';

/** Of a model with an autoencoder of its own, or with the one of another file. Throws as `openCheckpointAt`. */
export async function checkpointFactsAt(path: string, vae?: string): Promise<CheckpointFacts> {
  const checkpoint = await openCheckpointAt(path, { vae });
  try {
    return await checkpointFacts(checkpoint);
  } finally {
    await checkpoint.close();
  }
}
