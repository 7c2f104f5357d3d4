/** GGUF files that are written: blocks equal to ggml's reference, and what their reader gives back. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { blockWriters, type QuantisedType, quantised, typeForRows } from '../../src/formats/gguf-quantise.ts';
import { writeGguf } from '../../src/formats/gguf-write.ts';
import { openWeights } from '../../src/formats/open-weights.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { pocket } from '../cli/cli-files.ts';
import { sd, temporaryFolder } from '../cli/run-cli.ts';
import { reference } from '../reference.ts';

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const recorded: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(reference('families/gguf/quantised.json'), 'utf8'),
);

/** The numbers of tools/peers/gguf_quantise.py: of many sizes, with ties and blocks of zeros. */
function numbers(): Float32Array {
  let state = 1;
  return Float32Array.from({ length: 32 * 4096 }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const value = Math.fround(((state >>> 8) - 2 ** 23) / 2 ** 21);
    const block = Math.floor(i / 32);
    if (block % 8 === 0) {
      // To even, as numpy.
      const floor = Math.floor(value);
      return value - floor === 0.5 ? floor + (Math.abs(floor) % 2) : Math.round(value);
    }
    return block % 16 === 1 ? 0 : value * 2 ** ((block % 24) - 16);
  });
}
const values = numbers();

test('the numbers are those of the recording', () => {
  assert.equal(digest(new Uint8Array(values.buffer)), recorded['values']);
});

const types = Object.keys(blockWriters) as QuantisedType[];
for (const type of types)
  test(`${type}: 131,072 numbers become the blocks of ggml’s reference, to the bit`, () => {
    assert.equal(digest(quantised(values, type)), recorded[type]);
  });

const generator = new TorchGenerator(1);
const tensors: ReadonlyMap<string, Tensor> = new Map(
  Object.entries({
    'a.weight': [64, 96],
    'b.weight': [40, 33],
    'conv.weight': [32, 64, 3, 3],
    'input_blocks.0.0.weight': [320, 4, 3, 3],
    'time_embed.0.weight': [64, 64],
    'a.bias': [64],
  }).map(([name, shape]) => [name, generator.randn(shape)]),
);

test('rows that are no whole blocks of 256 take the type with blocks of 32 that llama.cpp takes', async () => {
  const wide = new Map([...tensors, ['wide.weight', generator.randn([4, 512])]]);
  const whole = await written(memoryWeights(wide, 'x'), { dtype: 'q4_K' });
  assert.equal(whole.metadata?.get('general.file_type'), 14);
  assert.deepEqual(
    [typeForRows('q4_K', 512), typeForRows('q4_K', 96), typeForRows('q4_K', 33)],
    ['q4_K', 'q5_0', undefined],
  );
  assert.deepEqual(
    ['a.weight', 'b.weight', 'wide.weight'].map((name) => whole.entries.get(name)?.dtype),
    ['float32', 'float16', 'float32'],
  );
  const [read, own] = [toFloat32(await whole.read('wide.weight')), toFloat32(wide.get('wide.weight') as Tensor)];
  const off = own.data.reduce((max, value, i) => Math.max(max, Math.abs(value - (read.data[i] as number))), 0);
  assert.ok(off > 0.02 && off < 0.4, `${off}`);
});

async function written(source: WeightSource, options: Parameters<typeof writeGguf>[1]): Promise<WeightSource> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeGguf(source, options)) chunks.push(chunk.slice());
  return openWeights(memoryBytes(new Uint8Array(Buffer.concat(chunks)), 'x.gguf'));
}

/** Largest difference of a tensor to what was written, in units of its largest value. */
async function error(source: WeightSource, name: string): Promise<number> {
  const [own, read] = [toFloat32(tensors.get(name) as Tensor), toFloat32(await source.read(name))];
  assert.deepEqual(read.shape, own.shape);
  const largest = own.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return own.data.reduce((max, value, i) => Math.max(max, Math.abs(value - (read.data[i] as number))), 0) / largest;
}

test('a whole model: matrices of whole blocks are quantised, others are float16, vectors and the embedding of time float32', async () => {
  const source = await written(memoryWeights(tensors, 'x'), { dtype: 'q8_0' });
  assert.equal(source.metadata?.get('general.architecture'), undefined);
  const kinds = [...source.entries.values()].map(({ name, dtype, shape }) => [name, dtype, shape]);
  assert.deepEqual(kinds, [
    ['a.weight', 'float32', [64, 96]],
    ['b.weight', 'float16', [40, 33]],
    ['conv.weight', 'float16', [32, 64, 3, 3]],
    ['input_blocks.0.0.weight', 'float16', [320, 4, 3, 3]],
    ['time_embed.0.weight', 'float32', [64, 64]],
    ['a.bias', 'float32', [64]],
  ]);
  // Half a step of 127, and the rounding of the step to float16.
  const off = await error(source, 'a.weight');
  assert.ok(off > 0 && off < 0.0042, `${off}`);
  assert.deepEqual([await error(source, 'time_embed.0.weight'), await error(source, 'a.bias')], [0, 0]);
});

test('a UNet alone as ComfyUI-GGUF has it: its architecture, convolutions in rows of 256 with their shape', async () => {
  const source = await written(memoryWeights(tensors, 'x'), { dtype: 'q4_1', architecture: 'sdxl' });
  assert.equal(source.metadata?.get('general.architecture'), 'sdxl');
  assert.equal(source.metadata?.get('general.file_type'), 3);
  assert.deepEqual(source.metadata?.get('comfy.gguf.orig_shape.conv.weight'), [32, 64, 3, 3]);
  const off = await error(source, 'conv.weight');
  assert.ok(off > 0.01 && off < 0.07, `${off}`);
  assert.equal(await error(source, 'input_blocks.0.0.weight'), 0);
});

test('sd convert writes GGUF of a whole model and of its UNet, and the model makes a picture from it', async (context) => {
  const folder = temporaryFolder(context);
  const [whole, split, unet] = [join(folder, 'pocket.gguf'), join(folder, 'split'), join(folder, 'unet.gguf')];
  assert.equal((await sd(['convert', pocket, whole, '--dtype', 'q8_0'])).code, 0);
  const inspected = JSON.parse((await sd(['inspect', whole, '--json'])).out);
  assert.deepEqual([inspected.format, inspected.kind, inspected.loads], ['gguf', 'checkpoint', true]);
  assert.equal((await sd(['convert', pocket, split, '--layout', 'split'])).code, 0);
  const part = join(split, 'diffusion_models/split.safetensors');
  assert.equal((await sd(['convert', part, unet, '--dtype', 'q5_0'])).code, 0);
  const named = ['--vae', pocket, '--text-encoder', pocket, '--config', pocket.replace('.safetensors', '.yaml')];
  for (const [name, args] of [
    ['whole', ['--model', whole]],
    ['parts', ['--model', unet, ...named]],
  ] as const) {
    const picture = join(folder, `${name}.png`);
    const made = await sd([
      'txt2img',
      'a red apple',
      ...args,
      '--steps',
      '2',
      '--threads',
      '1',
      '--quiet',
      '--output',
      picture,
    ]);
    assert.equal(made.code, 0, made.err);
    assert.ok(readFileSync(picture).length > 1000);
  }
});

test('a quantised type in another file is refused', async (context) => {
  const { code, err } = await sd([
    'convert',
    pocket,
    join(temporaryFolder(context), 'x.safetensors'),
    '--dtype',
    'q8_0',
  ]);
  assert.equal(code, 2);
  assert.match(err, /q8_0 is a type of GGUF files\. Name an output that ends in \.gguf/);
});
