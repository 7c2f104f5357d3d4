/** Random numbers: PyTorch's, Python's and numpy's generators, Philox, A1111's and the peers' noise. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createNoise } from '../../../src/random/create-noise.ts';
import { imageNoise } from '../../../src/random/image-noise.ts';
import { PhiloxGenerator } from '../../../src/random/philox.ts';
import { seedEverything } from '../../../src/random/seed-everything.ts';
import { slerp } from '../../../src/random/slerp.ts';
import { normalNoise, TorchGenerator } from '../../../src/random/torch-generator.ts';
import { expectDType, float32 } from '../../../src/tensor/tensor.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { collecting, type Comparisons, listDifference, throwsWith } from '../comparisons.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';
import { compareRandn, compareSequences } from '../torch-random.ts';

/** Kinds by the original's function. */
const kinds: readonly (readonly [RegExp, (recorded: RecordedCase, compare: Comparisons) => void])[] = [
  [/torch\.randn_like/, compareLayout],
  [/torch\.randn\/rand/, compareSequences],
  [/torch\.randn /, compareRandn],
  [/seed_everything/, compareSeedEverything],
  [/rng_philox/, comparePhilox],
  [/ImageRNG/, compareImageRng],
  [/slerp/, compareSlerp],
  [/prepare_noise/, comparePeers],
];
const kindOf = (row: RecordedCase['row']) => kinds.find(([pattern]) => pattern.test(originalOf(row)))?.[1];

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) => part === 'noise' && kindOf(row) !== undefined,
  compare: collecting((recorded, compare) => kindOf(recorded.row)?.(recorded, compare)),
};

const json = ({ setFolder, row }: RecordedCase) =>
  JSON.parse(readFileSync(join(setFolder, String(row['file'])), 'utf8'));
const tensorsOf = ({ setFolder, row }: RecordedCase): Tensors => readTensors(join(setFolder, String(row['file'])));
const toleranceOf = ({ row }: RecordedCase): number => (row['tolerance'] as Recorded).abs;

/** Noise like a transposed tensor is drawn in the order of memory. */
function compareLayout(recorded: RecordedCase, compare: Comparisons): void {
  const { seed, ...lists }: { readonly seed: number } & Readonly<Record<string, number[][][]>> = json(recorded);
  const tolerance = toleranceOf(recorded);
  for (const [name, values] of Object.entries(lists)) {
    const shape = /(\d+)x(\d+)x(\d+)$/.exec(name)?.slice(1).map(Number) ?? [];
    const want = float32(shape, values.flat(2));
    // Like torch.empty(a, c, b).transpose(1, 2): the last dimension is the middle one in memory.
    const transposed = name.startsWith('like_transposed');
    const order = transposed ? ([0, 2, 1] as const) : ([0, 1, 2] as const);
    compare.tensor(name, new TorchGenerator(seed).randnLikePermuted(shape, order), want, tolerance);
    if (!transposed) compare.tensor(`${name}, plain`, normalNoise(shape, seed), want, tolerance);
  }
}

function compareSeedEverything(recorded: RecordedCase, compare: Comparisons): void {
  for (const row of json(recorded)) {
    if (row.error) {
      compare.error(
        `seed ${row.seed} is refused`,
        throwsWith('invalid-argument', () => seedEverything(row.seed)),
        0,
      );
      continue;
    }
    const { python, numpy } = seedEverything(row.seed);
    const made: Record<string, ArrayLike<number>> = {
      python_random: row.python_random.map(() => python.random()),
      'python_randint_0_2^32-1': [python.randint(0, 4294967295)],
      numpy_rand: numpy.rand([row.numpy_rand.length]).data,
      numpy_randn: numpy.randn([row.numpy_randn.length]).data,
    };
    for (const [name, got] of Object.entries(made))
      compare.error(`seed ${row.seed} ${name}`, listDifference(got, [row[name]].flat()), 0);
  }
}

/** Successive draws of one generator. */
function comparePhilox(recorded: RecordedCase, compare: Comparisons): void {
  const tensors = tensorsOf(recorded);
  const tolerance = toleranceOf(recorded);
  for (const seed of new Set([...tensors.keys()].map((name) => name.split('.')[1] ?? ''))) {
    const generator = new PhiloxGenerator(BigInt(seed));
    for (let i = 0; tensors.has(`philox.${seed}.draw${i}`); i++) {
      const want = pick(tensors, `philox.${seed}.draw${i}`);
      compare.tensor(`philox.${seed}.draw${i}`, generator.randn(want.shape), want, tolerance);
    }
    const big = tensors.get(`philox.${seed}.big`);
    if (!big) continue;
    const whole = new PhiloxGenerator(BigInt(seed)).randn([4, 64, 64]);
    compare.tensor(`philox.${seed}.big`, float32(big.shape, whole.data.slice(0, big.data.length)), big, tolerance);
  }
  for (const [seed, want] of Object.entries<number[]>(settingsOf(recorded).negative_seed)) {
    const got = new PhiloxGenerator(BigInt(seed)).randn([want.length]);
    compare.tensor(`seed ${seed}`, got, float32([want.length], want), tolerance);
  }
}

/** Start noise and two steps, with variations, resized seeds and ENSD. */
function compareImageRng(recorded: RecordedCase, compare: Comparisons): void {
  const tensors = tensorsOf(recorded);
  for (const settings of settingsOf(recorded)) {
    const next = imageNoise({
      seeds: settings.seeds,
      generator: (seed) => (settings.source === 'NV' ? new PhiloxGenerator(seed) : new TorchGenerator(seed)),
      subseeds: settings.subseeds,
      subseedStrength: settings.subseed_strength ?? 0,
      seedResizeFrom: { width: settings.seed_resize_from_w ?? 0, height: settings.seed_resize_from_h ?? 0 },
      etaNoiseSeedDelta: settings.eta_noise_seed_delta,
    });
    const prefix = `${settings.source}.${settings.index}.next`;
    for (let k = 0; tensors.has(`${prefix}${k}`); k++) {
      const got = next([settings.seeds.length, ...settings.shape]);
      compare.tensor(`${prefix}${k}`, got, pick(tensors, `${prefix}${k}`), toleranceOf(recorded));
    }
  }
}

function compareSlerp(recorded: RecordedCase, compare: Comparisons): void {
  const tensors = tensorsOf(recorded);
  const low = expectDType(pick(tensors, 'low'), 'float32');
  const high = expectDType(pick(tensors, 'high'), 'float32');
  const near = low.data.map((value, i) => value + Math.fround(Math.fround(0.001) * (high.data[i] as number)));
  for (const [name, want] of tensors) {
    const match = /^(slerp|slerp_near)\.(.+)$/.exec(name);
    if (!match) continue;
    const other = match[1] === 'slerp' ? high : float32(low.shape, near);
    compare.tensor(name, slerp(Number(match[2]), low, other), want, toleranceOf(recorded));
  }
}

/** ComfyUI's start and step noise, also of given batch indices, and diffusers' of one generator or a list. */
function comparePeers(recorded: RecordedCase, compare: Comparisons): void {
  for (const [name, want] of tensorsOf(recorded)) {
    const [peer, kind = '', text = ''] = name.split('.');
    const seed = Number(text);
    const tolerance = toleranceOf(recorded);
    if (kind === 'step_noise') {
      const noise = createNoise({ convention: 'comfy', seed });
      const shape = want.shape.slice(1);
      noise.normal(shape);
      const steps = Array.from({ length: want.shape[0] ?? 0 }, () => [...noise.normal(shape).data]);
      compare.tensor(name, float32(want.shape, steps.flat()), want, tolerance);
      continue;
    }
    const batchIndices = /^prepare_noise_inds_(.+)$/.exec(kind)?.[1]?.split('_').map(Number);
    const seeds = kind === 'generator_list' ? [seed, seed + 1] : undefined;
    const noise =
      peer === 'comfy'
        ? createNoise({ convention: 'comfy', seed, batchIndices })
        : createNoise({ convention: 'diffusers', seed, seeds });
    compare.tensor(name, noise.normal(want.shape), want, tolerance);
  }
}
