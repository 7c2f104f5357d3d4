/** The conventions of each peer as noise.md of the reference tells them, and what holds for all. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { brownianTreeNoise, roundToMillionths } from '../../src/random/brownian-tree.ts';
import { createNoise } from '../../src/random/create-noise.ts';
import { noiseConventions } from '../../src/random/noise-source.ts';
import { PhiloxGenerator } from '../../src/random/philox.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

const shape = [2, 4, 3, 5];
const size = 60;
const image = (batch: Tensor<'float32'>, i: number) => batch.data.slice(i * size, (i + 1) * size);

test('every convention gives the same noise for the same seed, and other noise at every draw', () => {
  for (const convention of noiseConventions) {
    const draws = [1, 2].map(() => {
      const noise = createNoise({ convention, seed: 5 });
      assert.equal(noise.convention, convention);
      return [noise.normal(shape), noise.normal(shape), noise.normal(shape), noise.interval(shape, 0.03, 14)(14, 7)];
    });
    assert.deepEqual(draws[0], draws[1]);
    const [first, second, third, interval] = (draws[0] ?? []).map((drawn) => drawn.data.join());
    assert.equal(new Set([first, second, third, interval]).size, 4, convention);
    assert.deepEqual(draws[0]?.[0]?.shape, shape);
  }
});

test('compvis is one stream of a torch generator', () => {
  const noise = createNoise({ convention: 'compvis', seed: 9 });
  const torch = new TorchGenerator(9);
  for (let i = 0; i < 3; i++) assert.deepEqual(noise.normal(shape), torch.randn(shape));
});

test('a1111: image i of a batch is the single image of seed + i, for the steps and the Brownian tree too', () => {
  for (const convention of ['a1111-cpu', 'a1111-gpu', 'a1111-nv'] as const) {
    const batch = createNoise({ convention, seed: 100 });
    const single = createNoise({ convention, seed: 101 });
    for (let i = 0; i < 2; i++)
      assert.deepEqual(image(batch.normal(shape), 1), single.normal([1, ...shape.slice(1)]).data);
    assert.deepEqual(
      image(batch.interval(shape, 0.03, 14)(14, 7), 1),
      single.interval([1, ...shape.slice(1)], 0.03, 14)(14, 7).data,
    );
  }
});

test('a1111 variations keep the seed and count the subseed up; a share of 0 changes nothing', () => {
  const options = { convention: 'a1111-cpu', seed: 3, subseed: 70 } as const;
  const batch = createNoise({ ...options, subseedStrength: 0.4 }).normal(shape);
  const second = createNoise({ ...options, subseed: 71, subseedStrength: 0.4 }).normal([1, ...shape.slice(1)]);
  assert.deepEqual(image(batch, 1), second.data);
  assert.deepEqual(createNoise(options).normal(shape), createNoise({ convention: 'a1111-cpu', seed: 3 }).normal(shape));
});

test('a1111 eta noise seed delta changes the steps and not the start', () => {
  const plain = createNoise({ convention: 'a1111-nv', seed: 3 });
  const delta = createNoise({ convention: 'a1111-nv', seed: 3, etaNoiseSeedDelta: 31337 });
  assert.deepEqual(delta.normal(shape), plain.normal(shape));
  assert.deepEqual(image(delta.normal(shape), 0), new PhiloxGenerator(31340).randn(shape.slice(1)).data);
});

test('diffusers with a list of seeds has one generator an image; float16 noise is a stream of its own', () => {
  const listed = createNoise({ convention: 'diffusers', seed: 0, seeds: [8, 3] }).normal(shape);
  assert.deepEqual(image(listed, 1), new TorchGenerator(3).randn([1, ...shape.slice(1)]).data);
  assert.deepEqual(
    createNoise({ convention: 'diffusers', seed: 8, dtype: 'float16' }).normal(shape),
    new TorchGenerator(8).randnAs('float16', shape),
  );
});

test('a batch of another size than there are seeds is refused', () => {
  for (const convention of ['diffusers', 'a1111-cpu'] as const) {
    assert.throws(() => createNoise({ convention, seed: 0, seeds: [1, 2, 3] }).normal(shape), {
      code: 'shape-mismatch',
    });
  }
  assert.throws(() => createNoise({ convention: 'comfy', seed: 0, batchIndices: [0] }).normal(shape), {
    code: 'shape-mismatch',
  });
  assert.throws(() => createNoise({ convention: 'comfy', seed: 0, batchIndices: [0, -1] }).normal(shape), {
    code: 'invalid-argument',
  });
  assert.throws(() => brownianTreeNoise({ shape, sigmaMin: 0.1, sigmaMax: 1, seed: [1] }), { code: 'shape-mismatch' });
  assert.throws(() => brownianTreeNoise({ shape, sigmaMin: 0.1, sigmaMax: Number.POSITIVE_INFINITY, seed: 1 }), {
    code: 'invalid-argument',
  });
});

test('Brownian tree: torchsde.BrownianTree(0.0078125, zeros(2, 2), 14.6146, entropy=99), ends beyond the span are cut', () => {
  const recorded: readonly [number, number, readonly number[]][] = [
    [0.0078125, 0.5, [-0.4566083550453186, -1.130438208580017, 0.02422875165939331, 0.11561441421508789]],
    [0.5, 0.5001, [-0.0031629414297640324, -0.007992425933480263, 0.019292723387479782, 0.001934343483299017]],
    [3, 14.6146, [2.060230255126953, -0.1818016767501831, 6.337028980255127, -1.534454345703125]],
    [0.001, 20, [2.572561025619507, -1.0988898277282715, 5.507021903991699, -3.9359755516052246]],
  ];
  const noise = brownianTreeNoise({ shape: [2, 2], sigmaMin: 0.0078125, sigmaMax: 14.6146, seed: 99 });
  for (const [from, to, want] of recorded) {
    const got = noise(from, to).data;
    const back = noise(to, from).data;
    for (const [i, value] of want.entries()) {
      assert.ok(
        Math.abs((got[i] as number) * Math.sqrt(to - from) - value) < 2e-6 * Math.max(1, Math.abs(value)),
        `${from} to ${to}`,
      );
      assert.equal(back[i], -(got[i] as number));
    }
  }
});

test('Brownian tree: increments add up whatever the order of the queries, and nothing passes between equal sigmas', () => {
  const make = () => brownianTreeNoise({ shape, sigmaMin: 0.03, sigmaMax: 14.6, seed: [1, 2] });
  const increment = (noise: ReturnType<typeof make>, from: number, to: number) =>
    noise(from, to).data.map((value) => value * Math.sqrt(Math.abs(to - from)));
  const whole = increment(make(), 14.6, 0.03);
  const other = make();
  const late = increment(other, 2.5, 0.03);
  const early = increment(other, 14.6, 2.5);
  for (const [i, value] of whole.entries())
    assert.ok(Math.abs(value - (early[i] as number) - (late[i] as number)) < 1e-5);
  assert.ok(other(3, 3).data.every((value) => value === 0));
});

test('rounding to six decimals is that of Python, ties to even', () => {
  for (const [x, want] of [
    [0.0078125, 0.007812],
    [0.0234375, 0.023438],
    [14.61464309692383, 14.614643],
    [-0.0078125, -0.007812],
    [2.5e-7, 0],
    [7.5e-7, 1e-6],
  ] as const) {
    assert.equal(Math.abs(roundToMillionths(x) - want), 0, `${x}`);
  }
});
