/** The engine that readers share in one run, made when first asked for. */

import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { keepPrograms } from '../kept-programs.ts';

let shared: Engine | undefined;
let keeps = false;

export function parityEngine(): Engine {
  shared ??= keeps ? keepPrograms(createNodeEngine({ threads: 1 })) : createNodeEngine({ threads: 1 });
  return shared;
}

/** For a set whose cases compile the same small programs several times: they stay until the end of the run. */
export function keepParityPrograms(): void {
  keeps = true;
}

/** For the end of a run. */
export function disposeParityEngine(): void {
  shared?.dispose();
  shared = undefined;
}
