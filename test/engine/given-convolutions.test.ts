/** Convolutions and their gradients whose weights are given at each run, which have forms of their own, against those with weights in the program. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { dim } from '../../src/graph/dim.ts';
import { add, conv2d, silu, sum } from '../../src/graph/functions.ts';
import { gradients } from '../../src/graph/gradients.ts';
import { trace } from '../../src/graph/trace.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { maxDifference } from '../parity.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

interface Case {
  readonly from: number;
  readonly to: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly padding?: number | readonly [number, number, number, number];
  readonly size: number;
}

const cases: Readonly<Record<string, Case>> = {
  'blocks of channels': { from: 32, to: 48, kernel: 3, padding: 1, size: 9 },
  'few channels in': { from: 3, to: 32, kernel: 3, padding: 1, size: 9 },
  'few channels out': { from: 32, to: 3, kernel: 3, padding: 1, size: 9 },
  'no whole blocks': { from: 20, to: 20, kernel: 3, padding: 1, size: 9 },
  'one element': { from: 16, to: 32, kernel: 1, size: 7 },
  'a larger kernel without padding': { from: 16, to: 16, kernel: 5, size: 9 },
  'stride 2': { from: 32, to: 32, kernel: 3, stride: 2, padding: 1, size: 9 },
  'stride 2, padded at the end': { from: 32, to: 32, kernel: 3, stride: 2, padding: [0, 0, 1, 1], size: 10 },
  'stride 2, kernel 4': { from: 16, to: 64, kernel: 4, stride: 2, padding: 1, size: 10 },
  'large images': { from: 16, to: 32, kernel: 3, padding: 1, size: 36 },
  'large images, few channels': { from: 16, to: 3, kernel: 3, padding: 1, size: 34 },
  'large images of many channels, stride 2': { from: 48, to: 112, kernel: 3, stride: 2, padding: 1, size: 68 },
};

for (const [name, { from, to, kernel, stride = 1, padding = 0, size }] of Object.entries(cases)) {
  for (const batch of [2, dim('batch')] as const) {
    test(`${name}${batch === 2 ? '' : ', any batch'}`, async () => {
      const generator = new TorchGenerator(3);
      const scaled = (shape: readonly number[], scale: number): Tensor<'float32'> => {
        const tensor = generator.randn(shape);
        return { ...tensor, data: tensor.data.map((value) => value * scale) };
      };
      const weights = memoryWeights(
        new Map<string, Tensor>([
          ['first.weight', scaled([from, from, 1, 1], 1 / Math.sqrt(from))],
          ['weight', scaled([to, from, kernel, kernel], 1 / Math.sqrt(from * kernel * kernel))],
          ['bias', scaled([to], 1)],
        ]),
      );
      const graph = trace({ x: { dtype: 'float32', shape: [batch, from, size, size] } }, ({ x }, p) => {
        // An image that another convolution made, added to one that none has.
        const before = add(silu(conv2d(x, p.at('first').get('weight', [from, from, 1, 1]))), x);
        const y = conv2d(before, p.get('weight', [to, from, kernel, kernel]), p.get('bias', [to]), { stride, padding });
        return { y, loss: sum(silu(y)) };
      });
      const names = ['first.weight', 'weight', 'bias'];
      const differentiated = gradients(graph, 'loss', names);
      const x = generator.randn([2, from, size, size]);
      await using given = await engine.compile(differentiated, weights, { parameters: 'inputs' });
      await using fixed = await engine.compile(differentiated, weights);
      const parameters = Object.fromEntries(
        await Promise.all(names.map(async (parameter) => [parameter, await weights.read(parameter)] as const)),
      );
      const [a, b] = [await given.run({ x, ...parameters }), await fixed.run({ x })];
      for (const [output, want] of Object.entries(b)) {
        const largest = Array.from<number | bigint>(want.data).reduce<number>(
          (most, value) => Math.max(most, Math.abs(Number(value))),
          1,
        );
        // Sums in another order.
        assert.ok(
          maxDifference(a[output] as Tensor, want) <= 4e-6 * largest,
          `${output}: ${maxDifference(a[output] as Tensor, want)} of ${largest}`,
        );
      }
    });
  }
}
