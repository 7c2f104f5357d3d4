/**
 * Draws that the reference set does not hold. The numbers were made by the originals of the same seeds and calls, as the names of the tests
 * say: PyTorch 2.13.0 (AVX-512), numpy 2.4.6, CPython 3.11, torchsde 0.2.6.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { NumpyRandomState } from '../../src/random/numpy-random-state.ts';
import { PhiloxGenerator } from '../../src/random/philox.ts';
import { PythonRandom } from '../../src/random/python-random.ts';
import { roundedLog } from '../../src/random/rounded-log.ts';
import { seedSequence } from '../../src/random/seed-sequence.ts';
import { normalNoise, TorchGenerator } from '../../src/random/torch-generator.ts';
import { convert } from '../../src/tensor/convert.ts';
import { maxDifference } from '../parity.ts';

test('torch state is the bytes of get_state(), with a waiting normal', () => {
  const generator = new TorchGenerator(7);
  generator.randn([21]);
  generator.randn([3]);
  const state = generator.getState();
  assert.equal(
    createHash('sha256').update(state).digest('hex'),
    '11dd55cad72ea6f48610ff0d6f5f8184ceb8fe601774cc56708644f834c5cd85',
  );
  const copy = generator.clone();
  assert.equal(copy.initialSeed, 7n);
  for (const shape of [[3], [40], [1]]) assert.deepEqual(copy.randn(shape), generator.randn(shape));
  assert.deepEqual(copy.getState(), generator.getState());
  for (const bytes of [new Uint8Array(5055), new Uint8Array(5056)])
    assert.throws(() => copy.setState(bytes), { code: 'file-corrupt' });
});

test('torch.randint below and from 2^28, and beyond 2^32', () => {
  const generator = new TorchGenerator(3);
  const draw = (low: number, high: number) => Array.from(generator.randint(low, high, [3]).data, Number);
  assert.deepEqual(draw(0, 2 ** 28 - 1), [218175346, 35325593, 88681732]);
  assert.deepEqual(draw(0, 2 ** 28), [175684536, 46504192, 77081597]);
  const copy = generator.clone();
  assert.deepEqual(draw(-5, 2 ** 40), [635173078611, 460099312797, 726736166055]);
  assert.equal(copy.integer(-5, 2 ** 40), 635173078611);
  assert.throws(() => generator.randint(4, 4, [1]), { code: 'invalid-argument' });
  assert.throws(() => generator.integer(0, 0.5), { code: 'invalid-argument' });
});

test('torch.randperm, float16 with a tail, and normal_ of a channels-last tensor', () => {
  assert.deepEqual([...new TorchGenerator(5).randperm(12)], [11, 0, 9, 6, 10, 3, 4, 5, 8, 7, 1, 2]);
  const half = convert(new TorchGenerator(5).randnOf('float16', [17]), 'float32');
  assert.deepEqual(
    [...half.data],
    [
      1.8427734375, 2.779296875, 1.2216796875, -0.33642578125, -0.96484375, -0.129638671875, -0.6015625, 0.14501953125,
      -0.1497802734375, -0.4375, 0.779296875, -0.058349609375, -2.03125, 1.4833984375, 0.494140625, 0.249267578125,
      1.7470703125,
    ],
  );
  const last = new TorchGenerator(5).randnLikePermuted([1, 2, 3, 2], [0, 2, 3, 1]);
  const want = [
    -0.4867807626724243, -0.5580962300300598, -0.19741509854793549, -1.4017020463943481, 0.6312134265899658,
    -0.5577934384346008, -0.6038215756416321, 0.6675242781639099, 1.9427834749221802, -0.7625571489334106,
    -0.899135172367096, 0.6907187700271606,
  ];
  assert.deepEqual([...last.data], want);
  assert.throws(() => new TorchGenerator(5).randnLikePermuted([2, 2], [0, 0]), { code: 'invalid-argument' });
});

test('numpy RandomState: permutation, randint, randn, and its state', () => {
  const random = new NumpyRandomState(9);
  assert.deepEqual([...random.permutation(12)], [7, 9, 2, 0, 3, 4, 1, 11, 10, 8, 6, 5]);
  assert.deepEqual(
    Array.from({ length: 9 }, (_, i) => random.randint(-3, 10 ** i + 7)),
    [5, -2, 90, 985, 953, 24811, 167096, 6822159, 71243987],
  );
  assert.deepEqual([...random.randn([3]).data], [0.6682386147429422, 0.07997587718660772, 0.996615429116248]);
  const copy = new NumpyRandomState(0);
  copy.setState(JSON.parse(JSON.stringify(random.getState())));
  assert.deepEqual(copy.randnFloat32([9]), random.randnFloat32([9]));
  assert.throws(() => copy.setState({ key: [], pos: 0, hasGauss: false, gauss: 0 }), { code: 'file-corrupt' });
  for (const seed of [-1, 2 ** 32, 0.5]) assert.throws(() => new NumpyRandomState(seed), { code: 'invalid-argument' });
});

test('Python random.seed(2 ** 70 + 5): shuffle, randint, choice, uniform, and its state', () => {
  const random = new PythonRandom(2n ** 70n + 5n);
  const items = [...Array(12).keys()];
  random.shuffle(items);
  assert.deepEqual(items, [1, 10, 9, 3, 4, 0, 2, 8, 5, 11, 6, 7]);
  const want = [
    -2, 9, 93, 512, 9281, 31850, 570442, 7352187, 83041004, 165359576, 6317678655, 20675005396, 163654737464,
    319786181722, 27551114358427,
  ];
  assert.deepEqual(
    want.map((_, i) => random.randint(-3, 10 ** i + 7)),
    want,
  );
  assert.equal(random.choice([...Array(50).keys()]), 42);
  assert.equal(random.uniform(-2, 9), 8.038727320487297);
  const copy = new PythonRandom(0);
  copy.setState(JSON.parse(JSON.stringify(random.getState())));
  assert.equal(copy.random(), random.random());
  assert.throws(() => random.choice([]), { code: 'invalid-argument' });
  assert.throws(() => random.randint(2, 1), { code: 'invalid-argument' });
});

test('numpy SeedSequence: SeedSequence(2 ** 40 + 3, spawn_key=(5, 3), pool_size=24) and SeedSequence(0, pool_size=4)', () => {
  assert.deepEqual([...seedSequence(2 ** 40 + 3, [5, 3], 24, 4)], [3262805002, 3352222441, 534787907, 1409252514]);
  assert.deepEqual(
    [...seedSequence(0, [], 4, 6)],
    [2968811710, 3677149159, 745650761, 2884920346, 2642120001, 549907821],
  );
  assert.throws(() => seedSequence(-1, [], 4, 1), { code: 'invalid-argument' });
});

test('the rounded logarithm is within an ulp of Math.log and exact where that is known', () => {
  assert.equal(roundedLog(1), 0);
  assert.equal(roundedLog(2), Math.LN2);
  assert.equal(roundedLog(0.5), -Math.LN2);
  assert.equal(roundedLog(10), Math.LN10);
  const random = new TorchGenerator(1);
  for (let i = 0; i < 2000; i++) {
    const x = random.uniformFloat64() + 2 ** -60;
    assert.ok(Math.abs(roundedLog(x) - Math.log(x)) <= 2.3e-16 * Math.max(Math.abs(Math.log(x)), 2 ** -40), `${x}`);
  }
});

test('Philox: the CUDA layout has the numbers of A1111 while every element has its thread', () => {
  const shape = [4, 8, 9];
  const nv = new PhiloxGenerator(42);
  const cuda = new PhiloxGenerator(42, { layout: 'cuda' });
  for (let i = 0; i < 2; i++) assert.ok(maxDifference(cuda.randn(shape), nv.randn(shape)) < 3e-6);
  // On a device of one multiprocessor a thread goes on after 2,048 elements, and spends one counter on four of them.
  const small = new PhiloxGenerator(42, { layout: 'cuda', multiprocessors: 1 });
  const first = small.randn([8193]).data;
  const whole = new PhiloxGenerator(42, { layout: 'cuda' }).randn([8193]).data;
  assert.deepEqual(first.slice(0, 2048), whole.slice(0, 2048));
  assert.notEqual(first[2048], whole[2048]);
  assert.deepEqual(small.getState(), { seed: '42', offset: 2 });
  const copy = new PhiloxGenerator(0, { layout: 'cuda', multiprocessors: 1 });
  copy.setState(small.getState());
  assert.deepEqual(copy.randn([5]), small.randn([5]));
  assert.throws(() => copy.setState({ seed: '1', offset: -1 }), { code: 'file-corrupt' });
});

test('seeds: the range of manual_seed, and nothing that cannot be held exactly', () => {
  for (const seed of [0.5, Number.NaN, 2 ** 60, 2n ** 64n, -(2n ** 63n) - 1n])
    assert.throws(() => normalNoise([1], seed), { code: 'invalid-argument' }, `${seed}`);
  assert.deepEqual(normalNoise([3], -1), normalNoise([3], 2n ** 64n - 1n));
});

test('normals have the moments of the standard normal distribution', () => {
  for (const draw of [
    normalNoise([1 << 16], 1),
    new PhiloxGenerator(1).randn([1 << 16]),
    new NumpyRandomState(1).randnFloat32([1 << 16]),
  ]) {
    const values = draw.data;
    const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / values.length;
    for (const [power, want, tolerance] of [
      [1, 0, 0.02],
      [2, 1, 0.03],
      [3, 0, 0.06],
      [4, 3, 0.2],
    ] as const)
      assert.ok(Math.abs(moment(power) - want) < tolerance, `moment ${power}`);
  }
});
