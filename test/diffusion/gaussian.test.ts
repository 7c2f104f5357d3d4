/** guided-diffusion's process from its flags to an archive of pictures, with a tiny network and a classifier as a guide; and what the originals' recordings do not hold. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  admProcess,
  bitsPerDimension,
  encodeGaussian,
  type GaussianNetwork,
  gaussianProcess,
  type Pixels,
  sampleGaussian,
  spacedSections,
} from '../../src/diffusion/gaussian/index.ts';
import { lucidDdimTimes } from '../../src/diffusion/lucid-process.ts';
import { leastAssignment } from '../../src/training/objective/immiscible.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { openNpz, writeNpz } from '../../src/evaluation/index.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { tensorToImages } from '../../src/image/image-tensor.ts';
import {
  admClassifier,
  admFlags,
  admUNet,
  networkParameters,
  traceClassifierGuide,
  traceUNet,
} from '../../src/models/index.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { expectDType, float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { maxDifference } from '../parity.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const generator = new TorchGenerator(5);

/** Small random weights for every parameter. */
const weightsFor = (config: Parameters<typeof networkParameters>[0]) =>
  memoryWeights(
    new Map(
      networkParameters(config).map(({ name, shape }) => {
        const value = generator.randn(shape);
        return [name, { ...value, data: value.data.map((x) => x * 0.05) }] as const;
      }),
    ),
  );

test('from flags to an archive: class-conditional sampling with a classifier as its guide', async () => {
  const flags = admFlags({
    image_size: 16,
    num_channels: 32,
    num_res_blocks: 1,
    channel_mult: '1,1',
    attention_resolutions: '8',
    num_heads: 1,
    class_cond: true,
    num_classes: 3,
    learn_sigma: true,
    diffusion_steps: 100,
    timestep_respacing: '3',
  });
  const config = admUNet(flags);
  assert.equal(config.out_channels, 6);
  const classifierConfig = {
    ...admClassifier({ ...flags, image_size: 64, classifier_width: 64 }),
    image_size: 16,
    channel_mult: [1, 1],
  };
  const unet = await engine.compile(traceUNet(config), weightsFor(config));
  const classifier = await engine.compile(traceClassifierGuide(classifierConfig), weightsFor(classifierConfig));
  const y: Tensor = { dtype: 'int64', shape: [2], data: BigInt64Array.of(0n, 2n) };
  const timestepsOf = (told: readonly number[]): Tensor => float32([told.length], [...told]);
  const network: GaussianNetwork = async (x, told) =>
    expectDType((await unet.run({ x, timesteps: timestepsOf(told), y }))['out'] as Tensor, 'float32');
  const guide = async (x: Pixels, told: readonly number[]): Promise<Pixels> =>
    expectDType((await classifier.run({ x, timesteps: timestepsOf(told), y }))['grad.x'] as Tensor, 'float32');
  const start = generator.randn([2, 3, 16, 16]);
  const run = async (guided: boolean) => {
    const draws = new TorchGenerator(9);
    const noise = (): Pixels => draws.randn(start.shape);
    const steps = [];
    for await (const step of sampleGaussian(admProcess(flags), network, start, {
      noise,
      guide: guided ? guide : undefined,
    }))
      steps.push(step);
    return steps;
  };
  const [plain, guided] = [await run(false), await run(true)];
  assert.deepEqual(
    guided.map(({ told }) => told[0]),
    [99, 50, 0],
  );
  const last = guided.at(-1)?.sample as Pixels;
  assert.ok(maxDifference(last, plain.at(-1)?.sample as Pixels) > 1e-6);
  const bytes = Uint8Array.from(tensorToImages(last, 'adm').flatMap(({ data }) => [...data]));
  const archive = writeNpz({ arr_0: { dtype: 'uint8', shape: [2, 16, 16, 3], data: bytes }, arr_1: y });
  const read = await openNpz(memoryBytes(archive, 'samples.npz'));
  assert.deepEqual(await read.read('arr_0'), { dtype: 'uint8', shape: [2, 16, 16, 3], data: bytes });
  assert.deepEqual(await read.read('arr_1'), y);
  await assert.rejects(read.read('arr_2'), { code: 'file-corrupt' });
  await unet.dispose();
  await classifier.dispose();
});

test('a picture run backwards by DDIM comes back by DDIM', async () => {
  const process = gaussianProcess({ timesteps: 200, mean: 'velocity', variance: 'fixed_small' });
  const picture = { ...generator.randn([1, 3, 4, 4]) };
  const small: Pixels = { ...picture, data: picture.data.map((value) => value * 0.2) };
  // A smooth network: of data that are normal, v has a closed form that is 0 where the deviation is 1.
  const network: GaussianNetwork = async (x) => ({ ...x, data: x.data.map((value) => 0.01 * value) });
  let encoded = small;
  for await (const { sample } of encodeGaussian(process, network, small, { clip: false })) encoded = sample;
  let back = encoded;
  for await (const { sample } of sampleGaussian(process, network, encoded, {
    method: 'ddim',
    clip: false,
    noise: () => small,
  }))
    back = sample;
  assert.ok(maxDifference(back, small) < 0.05, `${maxDifference(back, small)}`);
});

test('bits per dimension of a network that knows nothing: its terms and the prior add up', async () => {
  const process = gaussianProcess({ timesteps: 6, schedule: 'cosine', variance: 'fixed_small' });
  const pictures: Pixels = float32([1, 3, 2, 2], new Float32Array(12).fill(1 / 255));
  const made = await bitsPerDimension(process, async (x) => ({ ...x, data: x.data.map(() => 0) }), pictures, {
    noise: () => generator.randn([1, 3, 2, 2]),
  });
  const sum = (made.vb[0] ?? []).reduce((a, b) => a + b, made.prior[0] ?? 0);
  assert.equal(made.vb[0]?.length, 6);
  assert.ok(Math.abs(sum - (made.total[0] ?? 0)) < 1e-9 && sum > 0);
});

test('timesteps that cannot be kept are refused', () => {
  for (const text of ['20', '6,6', 'ddim7', '-1', 'x', '2.5', '3,', '0x3', '1e1', '+3'])
    assert.throws(() => spacedSections(10, text), { code: 'invalid-argument' }, text);
  assert.deepEqual(spacedSections(10, 'ddim5'), [0, 2, 4, 6, 8]);
  assert.throws(() => gaussianProcess({ timesteps: 30, respacing: '0' }), /keep none of 30/);
  assert.throws(() => gaussianProcess({ timesteps: 10, schedule: 'linear' }), /one is 1\.1\d*\. .* needs 20/);
  assert.deepEqual(spacedSections(10, ' 3, 2'), [0, 2, 4, 5, 9]);
});

test('the least assignment of a matrix of costs', () => {
  assert.deepEqual(
    leastAssignment([
      [4, 1, 3],
      [2, 0, 5],
      [3, 2, 2],
    ]),
    [1, 0, 2],
  );
});

test("denoising-diffusion-pytorch's DDIM cuts a line that torch.linspace rounds", () => {
  // torch.linspace(-1, T - 1, S + 1).int() of torch 2.13, where plain arithmetic rounds the other way.
  assert.deepEqual(lucidDdimTimes(16, 14), [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 15]);
  assert.deepEqual(lucidDdimTimes(32, 14), [1, 3, 5, 8, 10, 12, 14, 17, 19, 21, 24, 26, 28, 31]);
});
