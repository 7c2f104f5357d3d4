/** The worker thread of node-thread.ts. */

import { parentPort } from 'node:worker_threads';
import { StableDiffusionError } from '../../errors.ts';
import type { NodeContext } from '../../workflow/context-in-run.ts';
import { nodes } from '../../workflow/nodes/index.ts';
import { memoryOf } from './moved-arrays.ts';
import type { NodeAnswer, NodeTask } from './node-thread.ts';

parentPort?.on('message', async ({ node, inputs }: NodeTask) => {
  let answer: NodeAnswer;
  try {
    const type = nodes.get(node);
    if (!type) throw new Error(`There is no node ${node}.`);
    // Only nodes that do not look at their context are sent here.
    answer = { made: await type.run(inputs, {} as NodeContext) };
  } catch (error) {
    const code = error instanceof StableDiffusionError ? error.code : undefined;
    answer = { error: { code, message: error instanceof Error ? error.message : String(error) } };
  }
  parentPort?.postMessage(answer, memoryOf(answer));
});
