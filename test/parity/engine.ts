/** The engine that readers share in one run, made when first asked for. */

import { createNodeEngine } from '../../src/engine/node.ts';

type NodeEngine = ReturnType<typeof createNodeEngine>;

let shared: NodeEngine | undefined;

export function parityEngine(): NodeEngine {
  shared ??= createNodeEngine({ threads: 1 });
  return shared;
}

/** For the end of a run. */
export function disposeParityEngine(): void {
  shared?.dispose();
  shared = undefined;
}
