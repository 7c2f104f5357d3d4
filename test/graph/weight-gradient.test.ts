/** The gradient of a convolution to its weight, in every form that it takes (by size of image, width, stride and padding), beside its definition. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { conv2dWeightGradient } from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { elementCount, float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { maxDifference } from '../parity.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

interface Sample {
  readonly batch: number;
  readonly inner: number;
  readonly outer: number;
  /** Of the output. */
  readonly size: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly stride?: number;
  /** Top, left, bottom, right. */
  readonly pads: readonly [number, number, number, number];
}

const same = [1, 1, 1, 1] as const;
const samples: Readonly<Record<string, Sample>> = {
  'large images': { batch: 2, inner: 32, outer: 48, size: [33, 34], kernel: [3, 3], pads: same },
  'large images, more channels in': { batch: 2, inner: 48, outer: 16, size: [32, 40], kernel: [3, 3], pads: same },
  'large images of few channels': { batch: 2, inner: 3, outer: 16, size: [36, 32], kernel: [3, 3], pads: same },
  'large images to few channels': { batch: 2, inner: 16, outer: 3, size: [36, 32], kernel: [3, 3], pads: same },
  'large images, kernel of one pixel': {
    batch: 1,
    inner: 16,
    outer: 32,
    size: [32, 32],
    kernel: [1, 1],
    pads: [0, 0, 0, 0],
  },
  'large images without padding': {
    batch: 1,
    inner: 16,
    outer: 20,
    size: [33, 35],
    kernel: [5, 3],
    pads: [0, 0, 0, 0],
  },
  'large images, uneven padding': {
    batch: 1,
    inner: 24,
    outer: 40,
    size: [32, 33],
    kernel: [2, 4],
    pads: [0, 1, 1, 3],
  },
  'large images, stride 2': {
    batch: 2,
    inner: 16,
    outer: 32,
    size: [32, 33],
    kernel: [3, 3],
    stride: 2,
    pads: [0, 0, 1, 1],
  },
  'small images': { batch: 3, inner: 16, outer: 112, size: [5, 4], kernel: [3, 3], pads: same },
  'small images, few channels out': { batch: 2, inner: 48, outer: 16, size: [6, 7], kernel: [3, 3], pads: same },
  'small images of few channels': { batch: 2, inner: 4, outer: 16, size: [6, 7], kernel: [3, 3], pads: same },
  'small images to few channels': { batch: 2, inner: 16, outer: 4, size: [6, 7], kernel: [3, 3], pads: same },
  'small images without padding': { batch: 2, inner: 32, outer: 112, size: [4, 6], kernel: [3, 2], pads: [0, 0, 0, 0] },
  'small images, stride 2': { batch: 2, inner: 48, outer: 32, size: [4, 4], kernel: [3, 3], stride: 2, pads: same },
  'small images of few channels, stride 2': {
    batch: 2,
    inner: 3,
    outer: 32,
    size: [4, 5],
    kernel: [3, 3],
    stride: 2,
    pads: [0, 0, 1, 1],
  },
  'small images, stride 3': {
    batch: 1,
    inner: 16,
    outer: 16,
    size: [4, 3],
    kernel: [4, 4],
    stride: 3,
    pads: [1, 1, 0, 0],
  },
};

/** Σ over images and pixels of dy times the pixel that the kernel's element met. */
function byDefinition(
  x: Tensor<'float32'>,
  dy: Tensor<'float32'>,
  { batch, inner, outer, size: [rows, columns], kernel: [kh, kw], stride = 1, pads: [top, left] }: Sample,
): Tensor<'float32'> {
  const [, , height = 1, width = 1] = x.shape;
  const gradient = new Float64Array(outer * inner * kh * kw);
  for (let b = 0; b < batch; b++)
    for (let o = 0; o < outer; o++)
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < columns; c++) {
          const up = dy.data[((b * outer + o) * rows + r) * columns + c] ?? 0;
          for (let i = 0; i < kh; i++)
            for (let j = 0; j < kw; j++) {
              const [row, column] = [r * stride + i - top, c * stride + j - left];
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              for (let n = 0; n < inner; n++) {
                const at = ((o * inner + n) * kh + i) * kw + j;
                gradient[at] =
                  (gradient[at] ?? 0) + up * (x.data[((b * inner + n) * height + row) * width + column] ?? 0);
              }
            }
        }
  return float32([outer, inner, kh, kw], Float32Array.from(gradient));
}

for (const [name, sample] of Object.entries(samples)) {
  test(`${name}: the gradient by definition`, async () => {
    const { batch, inner, outer, size, kernel, stride = 1, pads } = sample;
    const generator = new TorchGenerator(0);
    const x = generator.randn([
      batch,
      inner,
      (size[0] - 1) * stride + kernel[0] - pads[0] - pads[2],
      (size[1] - 1) * stride + kernel[1] - pads[1] - pads[3],
    ]);
    const dy = generator.randn([batch, outer, ...size]);
    // The image as a parameter that is given at each run: then direct convolutions and their reordering are made use of, as in training.
    const graph = trace({ dy: { dtype: 'float32', shape: dy.shape } }, (given, p) => ({
      gradient: conv2dWeightGradient(p.get('x', x.shape), given.dy, { kernel, stride, pads, groups: 1 }),
    }));
    const want = byDefinition(x, dy, sample);
    for (const parameters of ['inputs', 'stored'] as const) {
      const program = await engine.compile(
        graph,
        memoryWeights(new Map([['x', x]])),
        parameters === 'inputs' ? { parameters } : {},
      );
      const { gradient } = await program.run(parameters === 'inputs' ? { dy, x } : { dy });
      await program.dispose();
      assert.ok(gradient);
      // Rounding of float32 sums over all pixels.
      const error = maxDifference(gradient, want);
      assert.ok(error < 2e-6 * Math.sqrt(elementCount([batch, ...size])) * 10, `${parameters}: ${error}`);
    }
  });
}
