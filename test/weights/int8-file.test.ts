/** Files with weights in int8: what is written, what is read again, and what is refused. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { largestWeight } from '../../src/engine/int8-check.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { conv2d, linear } from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { openWeights } from '../../src/formats/open-weights.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { float32, tensor, type Tensor } from '../../src/tensor/tensor.ts';
import { fromInt8, withInt8 } from '../../src/weights/int8-file.ts';
import { largestInt8 } from '../../src/weights/int8-weights.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { maxDifference, relativeError } from '../parity.ts';

const generator = new TorchGenerator(7);
const model = memoryWeights(
  new Map<string, Tensor>([
    ['conv.weight', generator.randn([40, 32, 3, 3])],
    ['fc.weight', generator.randn([64, 40])],
    ['fc.bias', float32([64], new Float32Array(64).fill(0.5))],
    ['small.weight', generator.randn([4, 64])],
    ['token_embedding.weight', generator.randn([64, 32])],
    ['betas', generator.randn([10])],
    ['ids', tensor('int64', [1], BigInt64Array.of(3n))],
  ]),
);

async function stored(source: WeightSource): Promise<WeightSource> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeSafetensors(source.entries.values(), ({ name }) => source.read(name), {}))
    chunks.push(chunk.slice());
  return openWeights(memoryBytes(Buffer.concat(chunks), 'int8.safetensors'));
}

test('large weights become int8 with a scale a row, other numbers float16, buffers of the schedule stay', () => {
  const { entries } = withInt8(model);
  assert.deepEqual(
    Array.from(entries.values(), ({ name, dtype, shape }) => `${name} ${dtype} ${shape.join('x')}`),
    [
      'conv.weight int8 40x32x3x3',
      'conv.weight.int8_scale float32 40',
      'fc.weight int8 64x40',
      'fc.weight.int8_scale float32 64',
      'fc.bias float16 64',
      'small.weight float16 4x64',
      'token_embedding.weight float16 64x32',
      'betas float32 10',
      'ids int64 1',
    ],
  );
});

test('a file in int8 is read as float32, each weight within half a step of its own', async () => {
  const read = await stored(withInt8(model));
  assert.deepEqual([...read.entries.keys()].sort(), [...model.entries.keys()].sort());
  for (const [name, rows] of [
    ['conv.weight', 40],
    ['fc.weight', 64],
  ] as const) {
    const [want, got] = [toFloat32(await model.read(name)).data, toFloat32(await read.read(name)).data];
    const length = want.length / rows;
    for (let row = 0; row < rows; row++) {
      const values = want.slice(row * length, (row + 1) * length);
      const step = Math.max(...values.map(Math.abs)) / 127;
      const error = Math.max(...values.map((value, i) => Math.abs(value - (got[row * length + i] ?? 0))));
      assert.ok(error <= step * 0.5001 && error > 0, `${name} row ${row}: ${error} for steps of ${step}`);
    }
  }
});

test('a program in int8 is the same from the original and from its file in int8', async () => {
  const graph = trace(
    { x: { dtype: 'float32', shape: [1, 32, 6, 6] }, y: { dtype: 'float32', shape: [1, 1, 5, 40] } },
    ({ x, y }, p) => ({
      a: conv2d(x, p.get('conv.weight', [40, 32, 3, 3]), undefined, { padding: 1 }),
      b: linear(y, p.get('fc.weight', [64, 40]), p.get('fc.bias', [64])),
    }),
  );
  await using engine = createNodeEngine({ threads: 1 });
  const inputs = { x: generator.randn([1, 32, 6, 6]), y: generator.randn([1, 1, 5, 40]) };
  const run = async (source: WeightSource, precision: 'int8' | 'float32') => {
    await using program = await engine.compile(graph, source, { precision });
    return program.run(inputs);
  };
  const fromOriginal = await run(model, 'int8');
  const fromFile = await run(await stored(withInt8(model)), 'int8');
  const exact = await run(model, 'float32');
  // A processor whose products of 8 bits saturate keeps weights to 63, so the file's 127 steps are rounded once more there.
  const most = await largestWeight((small, weights) => engine.compile(small, weights));
  for (const name of ['a', 'b']) {
    const [original, file, want] = [fromOriginal, fromFile, exact].map((results) => results[name] as Tensor) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const difference = maxDifference(file, original);
    assert.ok(most !== largestInt8.whole || difference < 1e-4, `${name} differs by ${difference}`);
    for (const result of [original, file]) {
      const error = relativeError(result, want);
      assert.ok(error < 0.03 && error > 0, `${name} is ${error} from float32`);
    }
  }
});

test('scales that do not fit their tensor are refused; int8 without scales stays int8', async () => {
  const weight = tensor('int8', [2, 2], Int8Array.of(1, 2, 3, 4));
  const wrong = memoryWeights(
    new Map<string, Tensor>([
      ['w', weight],
      ['w.int8_scale', float32([3], [1, 1, 1])],
    ]),
  );
  assert.throws(() => fromInt8(wrong), { code: 'file-corrupt', message: /should be float32 \[2\]/ });
  const plain = memoryWeights(new Map<string, Tensor>([['w', weight]]));
  assert.equal(fromInt8(plain), plain);
});
