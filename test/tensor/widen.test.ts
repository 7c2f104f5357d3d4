/** Every number of 8 and 16 bits widened as PyTorch does it, and ComfyUI's scaled float8. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { openWeights } from '../../src/formats/open-weights.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import type { DType } from '../../src/tensor/dtype.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';

/** sha256 of all numbers in order, as `torch.arange(…).view(dtype).to(torch.float32)` of torch 2.13 gives them, with NaN as 12345. */
const recorded: readonly (readonly [DType, string])[] = [
  ['float8_e4m3fn', '60efb1d40706a18a8834b00445a3e025c9f2bc953f6acbf3dc1d3caa17950418'],
  ['float8_e5m2', 'b4685286a46b100946d038bd06a9cf8977d074f22482e5879c0b7beebdead0de'],
  ['bfloat16', '24266f21e2494fea4d981a86891ea107f98f3b53e14739d0dcdd94c1b71e592c'],
  ['float16', '096857e82fd43c1a9d6008249cb9f8b86f8511b3328dc1a5e7bcf347dec0d132'],
];

for (const [dtype, digest] of recorded)
  test(`every ${dtype} is PyTorch's number`, () => {
    const bits =
      dtype === 'float16' || dtype === 'bfloat16'
        ? Uint16Array.from({ length: 65536 }, (_, i) => i)
        : Uint8Array.from({ length: 256 }, (_, i) => i);
    const { data } = toFloat32(tensor(dtype, [bits.length], bits));
    const numbers = data.map((value) => (Number.isNaN(value) ? 12345 : value));
    assert.equal(createHash('sha256').update(new Uint8Array(numbers.buffer)).digest('hex'), digest);
  });

async function opened(tensors: Readonly<Record<string, Tensor>>) {
  const entries = Object.entries(tensors).map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeSafetensors(entries, ({ name }) => tensors[name] as Tensor))
    chunks.push(chunk.slice());
  return openWeights(memoryBytes(new Uint8Array(Buffer.concat(chunks)), 'x.safetensors'));
}

/** 1, 2, -0.5 and 448, the largest. */
const eight = (): Tensor => tensor('float8_e4m3fn', [2, 2], Uint8Array.of(0x38, 0x40, 0xb0, 0x7e));
const number = (value: number): Tensor => float32([], [value]);

for (const scaleName of ['scale_weight', 'weight_scale'])
  test(`float8 with ${scaleName}: weights are the numbers times the scale, and the scales are no tensors of the model`, async () => {
    const source = await opened({
      'a.weight': eight(),
      [`a.${scaleName}`]: number(0.25),
      'a.scale_input': number(3),
      'b.weight': eight(),
      'b.bias': float32([2], [1, 2]),
      scaled_fp8: tensor('float8_e4m3fn', [0], new Uint8Array(0)),
    });
    assert.deepEqual([...source.entries.keys()].sort(), ['a.weight', 'b.bias', 'b.weight']);
    assert.equal(source.entries.get('a.weight')?.dtype, 'float32');
    assert.deepEqual([...toFloat32(await source.read('a.weight')).data], [0.25, 0.5, -0.125, 112]);
    assert.deepEqual([...toFloat32(await source.read('b.weight')).data], [1, 2, -0.5, 448]);
  });

test('a scale that is not one number is refused by name', async () => {
  await assert.rejects(opened({ 'a.weight': eight(), 'a.scale_weight': float32([2], [1, 2]) }), {
    code: 'file-corrupt',
    message: /a\.scale_weight should be one number/,
  });
});

test('files without scaled weights stay as they are', async () => {
  const source = await opened({ 'a.weight': float32([1], [1]), 'a.scale_weight': number(2) });
  assert.deepEqual([...source.entries.keys()].sort(), ['a.scale_weight', 'a.weight']);
});
