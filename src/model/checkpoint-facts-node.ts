/** The facts about a model on disk, from its header and configuration. */

import { openCheckpointAt } from '../checkpoints/open-checkpoint-node.ts';
import { type CheckpointFacts, checkpointFacts } from './checkpoint-facts.ts';

/** Throws as `openCheckpointAt`. */
export async function checkpointFactsAt(path: string): Promise<CheckpointFacts> {
  const checkpoint = await openCheckpointAt(path);
  try {
    return await checkpointFacts(checkpoint);
  } finally {
    await checkpoint.close();
  }
}
