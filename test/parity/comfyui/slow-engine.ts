/** An engine that takes its time for each run of a UNet, so that requests reach a server while it works, as in the recording. */

import type { Engine, Program } from '../../../src/engine/engine.ts';
import { createNodeEngine } from '../../../src/engine/node.ts';

/** Milliseconds of each run. */
const pause = 120;

export function slowEngine(): Engine {
  const engine = createNodeEngine({ background: true, threads: 1 });
  return {
    provider: engine.provider,
    limits: engine.limits,
    createState: () => engine.createState(),
    dispose: () => engine.dispose(),
    [Symbol.asyncDispose]: () => engine.dispose(),
    async compile(graph, weights, options) {
      const program = await engine.compile(graph, weights, options);
      const isUNet = graph.inputs.some(({ name }) => name.startsWith('timestep'));
      return isUNet ? slowed(program) : program;
    },
  };
}

function slowed(program: Program): Program {
  return {
    graph: program.graph,
    async run(inputs, options) {
      const [made] = await Promise.all([
        program.run(inputs, options),
        new Promise((resolve) => setTimeout(resolve, pause)),
      ]);
      return made;
    },
    runBound: (state, runs, options) => program.runBound(state, runs, options),
    dispose: () => program.dispose(),
    [Symbol.asyncDispose]: () => program.dispose(),
  };
}
