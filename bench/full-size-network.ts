/**
 * One side of the full-size benchmark: this project. Loads one network of a checkpoint, runs it, and prints one line of JSON as the peers
 * (bench/peers/sd_v1.py) do: seconds to load, seconds of each run, peak memory of the process, a fingerprint of the output.
 *
 *     node --import ./tools/typescript.mjs bench/full-size-network.ts unet|vae|text CHECKPOINT.safetensors [runs] [size] [threads]
 */

import { createNodeEngine } from '../src/engine/node.ts';
import type { Tensors } from '../src/engine/engine.ts';
import { traceKlDecode } from '../src/models/autoencoder-kl.ts';
import { traceClipText } from '../src/models/clip-text.ts';
import { traceUNet } from '../src/models/unet.ts';
import type { Graph } from '../src/graph/graph.ts';
import { float32, tensor, type Tensor } from '../src/tensor/tensor.ts';
import type { Checkpoint } from '../src/weights/checkpoint.ts';
import { openCheckpointAt } from '../src/weights/open-checkpoint-node.ts';
import type { WeightSource } from '../src/weights/weight-source.ts';

/** The inputs that every side computes on: waves, so that nobody needs another's random numbers. */
function wave(shape: readonly number[], frequency: number): Tensor {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  return float32(shape, data.map((_, i) => Math.sin(i * frequency) * 1.5));
}

/** The network, its weights and its inputs for a picture of `size` pixels with guidance, so that the UNet and the text encoder see two samples. */
function network(part: string, { config, parts }: Checkpoint, size: number): { readonly graph: Graph; readonly weights: WeightSource; readonly inputs: Tensors } {
  const side = size / 8;
  const text = config.cond_stage_config;
  if (part === 'unet') {
    const inputs = { x: wave([2, 4, side, side], 12.9898), timesteps: float32([2], [500, 500]), context: wave([2, 77, 768], 78.233) };
    return { graph: traceUNet(config.unet_config), weights: parts.unet, inputs };
  }
  if (part === 'vae' && config.first_stage_config.kind === 'kl') {
    return { graph: traceKlDecode(config.first_stage_config), weights: parts.first_stage, inputs: { z: wave([1, 4, side, side], 12.9898) } };
  }
  if (part === 'text' && typeof text === 'object' && text?.kind === 'clip_text') {
    const ids = BigInt64Array.from({ length: 2 * 77 }, (_, i) => (i % 77 === 0 ? 49406n : 49407n));
    return { graph: traceClipText(text, { outputs: ['last_hidden_state'] }), weights: parts.cond_stage, inputs: { input_ids: tensor('int64', [2, 77], ids) } };
  }
  throw new Error(`There is no network ${part} to measure.`);
}

const [part = '', file = '', runs = '3', size = '512', threads = '2'] = process.argv.slice(2);
const seconds = async <T>(work: () => Promise<T>): Promise<[number, T]> => {
  const start = performance.now();
  const result = await work();
  return [(performance.now() - start) / 1000, result];
};

const [load, { engine, program, inputs }] = await seconds(async () => {
  const engine = createNodeEngine({ threads: Number(threads) });
  const { graph, weights, inputs } = network(part, await openCheckpointAt(file), Number(size));
  return { engine, program: await engine.compile(graph, weights), inputs };
});
const loadedPeak = process.resourceUsage().maxRSS * 1024;
const times: number[] = [];
let output: Float32Array = new Float32Array();
for (let i = 0; i < Number(runs); i++) {
  const [time, results] = await seconds(() => program.run(inputs));
  times.push(time);
  output = Object.values(results)[0]?.data as Float32Array;
}
const sum = (values: Float32Array, f: (value: number) => number): number => values.reduce((total, value) => total + f(value), 0) / values.length;
console.log(JSON.stringify({
  side: 'stable-diffusion-ts',
  load,
  runs: times,
  output: { mean: sum(output, (value) => value), rms: Math.sqrt(sum(output, (value) => value * value)), first: [...output.subarray(0, 4)] },
  loaded_peak_bytes: loadedPeak,
  peak_bytes: process.resourceUsage().maxRSS * 1024,
}));
await engine.dispose();
