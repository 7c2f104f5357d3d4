/** Runs one network alone on given tensors, under the reference's names: how people check parity (`sd forward`). */

import type { NetworkConfig } from '../config/network-config.ts';
import type { Engine, Program } from '../engine/engine.ts';
import type { PrecisionName } from '../engine/precision.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { forwardNetwork, networkDefinition } from '../models/index.ts';
import type { PlannedInput, TracePart } from '../models/network-plan.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { canonicalWeights } from '../checkpoints/canonical.ts';
import type { WeightSource } from '../weights/weight-source.ts';

export interface ForwardOptions {
  readonly engine: Engine;
  readonly config: NetworkConfig;
  /** The network's weights, in any layout that is known, with or without the prefix of a whole checkpoint. */
  readonly weights: WeightSource;
  /** Tensors by the reference's names: `x`, `timesteps`, `context`; `image`, `noise`, `z`; `input_ids`; … */
  readonly inputs: ReadonlyMap<string, Tensor>;
  /** Module paths whose outputs come back as `intermediate.PATH`, or 'all'. */
  readonly taps?: readonly string[] | 'all';
  readonly precision?: PrecisionName;
  readonly signal?: AbortSignal;
}

const tapPrefix = 'intermediate.';

/** Traces a part with those requested taps that it has, and returns their names. */
function traceTapped(trace: TracePart, taps: ForwardOptions['taps']): Graph {
  if (taps === undefined || taps === 'all') return trace(taps ? { taps } : {});
  const all = trace({ taps: 'all' }).outputs.map(({ name }) => name);
  return trace({ taps: taps.filter((path) => all.includes(tapPrefix + path)) });
}

function checkTaps(taps: ForwardOptions['taps'], results: ReadonlyMap<string, Tensor>): void {
  for (const path of typeof taps === 'string' ? [] : (taps ?? [])) {
    if (!results.has(tapPrefix + path))
      throw new StableDiffusionError(
        'invalid-argument',
        `No module ${path} was run; try taps 'all' to see which there are.`,
      );
  }
}

/** Old `config.json` files of CLIP do not state whether there is a projection; the weights show it. */
function withProjection(config: NetworkConfig, weights: WeightSource): NetworkConfig {
  if (config.kind !== 'clip_vision' && config.kind !== 'clip_text') return config;
  const name = config.kind === 'clip_vision' ? 'visual_projection.weight' : 'text_projection.weight';
  const projection = [...weights.entries.values()].find(
    (entry) => entry.name === name || entry.name.endsWith(`.${name}`),
  );
  return projection
    ? { ...config, with_projection: true, projection_dim: projection.shape[0] ?? config.projection_dim }
    : config;
}

/**
 * All outputs that follow from the inputs, by the reference's names: `out`; `moments`, `mean`, `logvar`, `sample`, `decoded`; `decoded.z`; …
 * @throws `invalid-argument` for inputs the network cannot use, `shape-mismatch`, `weights-mismatch`, `aborted`, `engine-failed`
 */
export async function forward(options: ForwardOptions): Promise<Map<string, Tensor>> {
  const { engine, inputs, taps, precision = 'float32', signal } = options;
  const config = withProjection(options.config, options.weights);
  const weights = canonicalWeights(options.weights, config).source;
  const results = new Map<string, Tensor>();
  const tensorFor = (input: PlannedInput): Tensor => {
    const name = typeof input === 'string' ? input : input.tensor;
    const found = results.get(name) ?? inputs.get(name);
    if (!found) throw new StableDiffusionError('invalid-argument', `The tensor ${name} is missing.`);
    return typeof input === 'string' ? found : tensor(found.dtype, input.shape, found.data);
  };
  const programs = new Map<string, Program>();
  try {
    for (const step of forwardNetwork(config, inputs)) {
      throwIfAborted(signal);
      const known = programs.get(step.part);
      const program =
        known ??
        (await engine.compile(traceTapped(step.trace, taps), weights, { precision, ...(signal ? { signal } : {}) }));
      programs.set(step.part, program);
      const feeds = Object.fromEntries(Object.entries(step.inputs).map(([name, input]) => [name, tensorFor(input)]));
      const wanted = program.graph.outputs
        .map(({ name }) => name)
        .filter((name) => !known || !name.startsWith(tapPrefix));
      const made = await program.run(feeds, { outputs: wanted, ...(signal ? { signal } : {}) });
      for (const [name, value] of Object.entries(made))
        if (!results.has(name) || !name.startsWith(tapPrefix)) results.set(step.outputs?.[name] ?? name, value);
    }
  } finally {
    await Promise.all([...programs.values()].map((program) => program.dispose()));
  }
  checkTaps(taps, results);
  return networkDefinition(config).finish?.(results, inputs) ?? results;
}
