/**
 * Which layers of a UNet lose how much in int8: the relative error of its output with only the named layers in 8 bits, and with all but them.
 *
 *     node --import ./tools/typescript.mjs bench/int8-layers.ts CHECKPOINT.safetensors [SIZE] [PATTERN]…
 *
 * A pattern is a regular expression on parameter names. Without patterns: the kinds of layers of Stable Diffusion's UNet.
 */

import { openCheckpointAt } from '../src/checkpoints/open-checkpoint-node.ts';
import { ldmUNet } from '../src/config/network-config.ts';
import { createNodeEngine } from '../src/engine/node.ts';
import type { Graph } from '../src/graph/graph.ts';
import { quantise } from '../src/graph/quantise.ts';
import { networkDefinition } from '../src/models/index.ts';
import { float32, type Tensor } from '../src/tensor/tensor.ts';
import { int8Weights } from '../src/weights/int8-weights.ts';
import type { WeightSource } from '../src/weights/weight-source.ts';

const [file = '', size = '256', ...given] = process.argv.slice(2);
const patterns =
  given.length > 0 ? given : ['in_layers', 'out_layers', 'ff\\.net', 'to_[qk]', 'to_v', 'to_out', '\\.conv\\.'];

function wave(shape: readonly number[], frequency: number): Tensor<'float32'> {
  const count = shape.reduce((product, length) => product * length, 1);
  return float32(
    shape,
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * frequency) * 1.5),
  );
}

const engine = createNodeEngine();
const checkpoint = await openCheckpointAt(file);
const config = checkpoint.config.unet_config;
const graph = networkDefinition(config)
  .parts(config)
  ['forward']?.({ outputs: ['out'] });
const weights = checkpoint.parts.unet;
if (!graph) throw new Error(`${file} has no UNet.`);
const side = Number(size) / 8;
const inputs = {
  x: wave([1, config.in_channels, side, side], 12.9898),
  timesteps: float32([1], [500]),
  context: wave([1, 77, ldmUNet(config).context_dim ?? 768], 78.233),
};

async function output(compiled: Graph, source: WeightSource): Promise<readonly number[]> {
  await using program = await engine.compile(compiled, source);
  const { out } = await program.run(inputs);
  return Array.from(out?.data ?? [], Number);
}

const exact = await output(graph, weights);
const square = (values: readonly number[]): number => values.reduce((sum, value) => sum + value * value, 0);

async function report(title: string, keep: (name: string) => boolean): Promise<void> {
  const quantised = quantise(graph as Graph, { keep });
  const got = await output(quantised.graph, int8Weights(weights, quantised.parts));
  const error = Math.sqrt(square(got.map((value, i) => value - (exact[i] ?? 0))) / square(exact));
  console.log(`${title}: ${quantised.parts.length} layers, error ${(100 * error).toFixed(2)} %`);
}

await report('all', () => false);
for (const pattern of patterns) {
  const expression = new RegExp(pattern);
  await report(`only ${pattern}`, (name) => !expression.test(name));
  await report(`without ${pattern}`, (name) => expression.test(name));
}
await checkpoint.close();
await engine.dispose();
