/** Runs in a page: a program whose weights are kept as float16 beside one whose weights were rounded to float16 before. */

import { createWebEngine } from '../../src/engine/web.ts';
import { StableDiffusionError } from '../../src/errors.ts';
import * as f from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { convert, toFloat32 } from '../../src/tensor/convert.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { wave } from './conformance-tools.ts';

const shapes = { kernel: [8, 4, 3, 3], bias: [8], up: [16, 8], down: [8, 8], scale: [8] } as const;
const given = Object.entries(shapes).map(([name, shape], i) => [name, wave(shape, i)] as const);
const rounded = given.map(([name, value]) => [name, toFloat32(convert(value, 'float16'))] as const);

/** A convolution, a linear layer of which halves are used, a normalisation: the ways in which weights are brought to the runtime. */
const graph = trace({ x: { dtype: 'float32', shape: [2, 4, 6, 6] } }, ({ x }, p) => {
  const image = f.conv2d(x, p.get('kernel', shapes.kernel), p.get('bias', shapes.bias), { padding: [1, 1, 1, 1] });
  const tokens = f.transpose(f.reshape(image, [2, 8, 36]), [0, 2, 1]);
  const both = f.linear(tokens, p.get('up', shapes.up));
  const gated = f.mul(f.slice(both, 2, 0, 8), f.gelu(f.slice(both, 2, 8, 16)));
  return { y: f.mul(f.linear(gated, p.get('down', shapes.down)), p.get('scale', shapes.scale)) };
});

async function run(weights: readonly (readonly [string, Tensor])[], halveAbove: number): Promise<readonly number[]> {
  await using engine = await createWebEngine({ provider: 'wasm', wasmPath: '/ort/', threads: 2, halveAbove });
  const program = await engine.compile(graph, memoryWeights(new Map(weights)));
  // Twice, as what is converted in a run is converted in the next one again.
  await program.run({ x: wave([2, 4, 6, 6]) });
  const { y } = await program.run({ x: wave([2, 4, 6, 6]) });
  return [...(y as Tensor<'float32'>).data];
}

/** What a network of more weights than WASM can hold is answered with. */
async function refusal(): Promise<string | undefined> {
  await using engine = await createWebEngine({ provider: 'wasm', wasmPath: '/ort/', threads: 2 });
  const shape = [40_000, 40_000];
  const large = trace({ x: { dtype: 'float32', shape: [1, 40_000] } }, ({ x }, p) => ({
    y: f.linear(x, p.get('w', shape)),
  }));
  const entries = new Map([['w', { name: 'w', dtype: 'float32', shape }]] as const);
  const unread = {
    label: 'huge.safetensors',
    entries,
    read: () => Promise.reject(new Error('was read')),
    close: async () => {},
  };
  try {
    await engine.compile(large, unread);
    return undefined;
  } catch (error) {
    return error instanceof StableDiffusionError ? `${error.code}: ${error.message}` : String(error);
  }
}

const results = (async () => ({
  kept: await run(given, 0),
  before: await run(rounded, Number.POSITIVE_INFINITY),
  exact: await run(given, Number.POSITIVE_INFINITY),
  refusal: await refusal(),
}))();
Object.assign(globalThis, { results });
