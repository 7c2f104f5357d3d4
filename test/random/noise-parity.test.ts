/** Every case of the reference's part "noise", and its Brownian tree. Tolerances are those of the reference's index. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { brownianTreeNoise } from '../../src/random/brownian-tree.ts';
import { createNoise } from '../../src/random/create-noise.ts';
import { imageNoise } from '../../src/random/image-noise.ts';
import { PhiloxGenerator } from '../../src/random/philox.ts';
import { seedEverything } from '../../src/random/seed-everything.ts';
import { slerp } from '../../src/random/slerp.ts';
import { type NormalDType, normalNoise, TorchGenerator } from '../../src/random/torch-generator.ts';
import { convert } from '../../src/tensor/convert.ts';
import { bytesOf, expectDType, float32, type Tensor } from '../../src/tensor/tensor.ts';
import { compareTensor, maxDifference, recordParity } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const part = 'diffusion/noise';
const torch = 'torch 2.13.0';
const json = (path: string) => JSON.parse(readFileSync(reference(`diffusion/${path}`), 'utf8'));
const index: { part: string; id: string; settings: never }[] = json('index.json').cases;

function settingsOf<T>(id: string): T {
  const found = index.find((entry) => entry.part === 'noise' && entry.id === id);
  assert.ok(found, `no case noise/${id}`);
  return found.settings as T;
}

/** A JSON number above 2^53 would have been rounded by JSON.parse; the seeds here are all smaller. */
type Numbers = { readonly seed: number };

const dtypes: { readonly [name: string]: readonly [NormalDType, number] } = {
  f32: ['float32', 2e-6],
  f64: ['float64', 1e-13],
  f16: ['float16', 0.004],
  bf16: ['bfloat16', 0.03],
};

test('torch_randn: first draw of every seed, size and element type', () => {
  const tensors = readTensors(reference('diffusion/noise/torch_randn.safetensors'));
  let bitEqual = 0;
  let float32Cases = 0;
  for (const [name, want] of tensors) {
    const [, type = '', seed = '', size = ''] = name.split('.');
    const known = dtypes[type];
    assert.ok(known, name);
    const [dtype, tolerance] = known;
    const drawn: Tensor = new TorchGenerator(BigInt(seed)).randnOf(dtype, [Number(size)]);
    const got = dtype === 'float64' ? drawn : convert(drawn, 'float32');
    compareTensor({ part, case: 'torch_randn', output: name, reference: torch, tolerance }, got, want);
    if (type !== 'f64') {
      float32Cases++;
      if (Buffer.compare(bytesOf(got), bytesOf(want)) === 0) bitEqual++;
    }
  }
  recordParity({
    part,
    case: 'torch_randn',
    output: 'tensors of 16 and 32 bits that are not bit-equal',
    reference: torch,
    error: float32Cases - bitEqual,
    tolerance: 0,
  });
});

test('torch_randn: large draws, whose hash must be that of an x86 build', () => {
  const cases: { seed: number; shape: number[]; sha256_f32le: string; first64: number[] }[] =
    json('noise/torch_randn_big.json');
  for (const { seed, shape, sha256_f32le, first64 } of cases) {
    const got = normalNoise(shape, seed);
    const output = `seed ${seed} [${shape}]`;
    compareTensor(
      { part, case: 'torch_randn_big', output: `${output} first 64`, reference: torch, tolerance: 2e-6 },
      float32([64], got.data.slice(0, 64)),
      float32([64], first64),
    );
    const sha = createHash('sha256').update(bytesOf(got)).digest('hex');
    recordParity({
      part,
      case: 'torch_randn_big',
      output: `${output} sha256`,
      reference: torch,
      error: sha === sha256_f32le ? 0 : 1,
      tolerance: 0,
    });
  }
});

test('torch_randn: the last bits of other CPUs', () => {
  const { sha256_by_cpu_capability: known } = settingsOf<{
    sha256_by_cpu_capability: Record<string, { sha256_seed42_4x64x64: string; first8_hex: string[] }>;
  }>('torch_randn');
  const hashes = {
    avx2: normalNoise([4, 64, 64], 42),
    default: new TorchGenerator(42, { capability: 'default' }).randn([4, 64, 64]),
  };
  for (const capability of ['avx2', 'avx512']) {
    const sha = createHash('sha256').update(bytesOf(hashes.avx2)).digest('hex');
    recordParity({
      part,
      case: 'torch_randn',
      output: `sha256 of ${capability}`,
      reference: torch,
      error: sha === known[capability]?.sha256_seed42_4x64x64 ? 0 : 1,
      tolerance: 0,
    });
  }
  const first8 = Float32Array.from(known['default']?.first8_hex ?? [], hexFloat);
  compareTensor(
    {
      part,
      case: 'torch_randn',
      output: 'first 8 of default',
      reference: torch,
      tolerance: 2e-6,
      note: 'libm differs in the last bit here and there, so the hash of this capability is not reproduced',
    },
    float32([8], hashes.default.data.slice(0, 8)),
    float32([8], first8),
  );
});

test('torch_randn: streams that are equal, and seeds out of range', () => {
  const { 'equal_streams [a,b,same]': pairs, limits } = settingsOf<{
    'equal_streams [a,b,same]': [number, number, boolean][];
    limits: Record<string, string>;
  }>('torch_randn');
  for (const [a, b, same] of pairs) {
    // 2^63 is exact in a double, though not a safe integer.
    assert.equal(maxDifference(normalNoise([8], BigInt(a)), normalNoise([8], BigInt(b))) === 0, same, `${a} and ${b}`);
  }
  for (const [seed, verdict] of Object.entries(limits)) {
    if (verdict === 'accepted') new TorchGenerator(BigInt(seed));
    else assert.throws(() => new TorchGenerator(BigInt(seed)), { code: 'invalid-argument' }, seed);
  }
});

/** The value of Python's `float.hex()` text, as in 0x1.8p+1. */
function hexFloat(text: string): number {
  const match = /^(-?)0x1\.([0-9a-f]{13})p([+-]\d+)$/.exec(text);
  assert.ok(match, text);
  return (match[1] ? -1 : 1) * (1 + Number.parseInt(match[2] ?? '', 16) / 2 ** 52) * 2 ** Number(match[3]);
}

type Op =
  | readonly ['randn' | 'randn64' | 'randn16' | 'rand' | 'rand64' | 'randperm', number]
  | readonly ['bernoulli', number, number]
  | readonly ['randint' | 'normal' | 'uniform', number, number, number];

function draw(generator: TorchGenerator, op: Op): ArrayLike<number> {
  switch (op[0]) {
    case 'randn':
      return generator.randn([op[1]]).data;
    case 'randn64':
      return generator.randnOf('float64', [op[1]]).data;
    case 'randn16':
      return generator.randnAs('float16', [op[1]]).data;
    case 'rand':
      return generator.rand([op[1]]).data;
    case 'rand64':
      return generator.randFloat64([op[1]]).data;
    case 'randperm':
      return generator.randperm(op[1]);
    case 'bernoulli':
      return generator.bernoulli(op[1], [op[2]]).data;
    case 'randint':
      return Array.from(generator.randint(op[1], op[2], [op[3]]).data, Number);
    case 'normal':
      return generator.normal([op[3]], op[1], op[2]).data;
    case 'uniform':
      return generator.rand([op[3]], op[1], op[2]).data;
  }
}

const sequenceTolerances: { readonly [K in Op[0]]: number } = {
  randn: 2e-6,
  randn64: 1e-13,
  randn16: 0.004,
  rand: 0,
  rand64: 0,
  randperm: 0,
  bernoulli: 0,
  randint: 0,
  normal: 6e-6,
  uniform: 0,
};

test('torch_sequences: mixed draws from one generator, also through a saved state', () => {
  const sequences: { seed: number; draws: { op: Op; values: number[] }[] }[] = json('noise/torch_sequences.json');
  for (const [n, { seed, draws }] of sequences.entries()) {
    const generator = new TorchGenerator(seed);
    for (const [i, { op, values }] of draws.entries()) {
      const saved = generator.getState();
      const got = Float64Array.from(draw(generator, op));
      const other = new TorchGenerator(0);
      other.setState(saved);
      assert.deepEqual(Float64Array.from(draw(other, op)), got);
      const error =
        got.length === values.length
          ? Math.max(...values.map((value, k) => Math.abs(value - (got[k] ?? Number.NaN))))
          : Number.POSITIVE_INFINITY;
      recordParity({
        part,
        case: 'torch_sequences',
        output: `${n}: seed ${seed}, draw ${i} ${op.join(' ')}`,
        reference: torch,
        error,
        tolerance: sequenceTolerances[op[0]],
      });
    }
  }
});

test('torch_layout: noise like a transposed tensor is drawn in the order of memory', () => {
  const { seed, contiguous_2x3x5, like_transposed_2x3x5 } = json('noise/torch_layout.json') as Numbers & {
    [name: string]: number[][][];
  };
  const flat = (values: number[][][] | undefined) => float32([2, 3, 5], values?.flat(2) ?? []);
  const row = { part, case: 'torch_layout', reference: torch, tolerance: 2e-6 };
  compareTensor({ ...row, output: 'contiguous' }, normalNoise([2, 3, 5], seed), flat(contiguous_2x3x5));
  // Like torch.empty(2, 5, 3).transpose(1, 2): the last dimension is the middle one in memory.
  compareTensor(
    { ...row, output: 'like_transposed' },
    new TorchGenerator(seed).randnLikePermuted([2, 3, 5], [0, 2, 1]),
    flat(like_transposed_2x3x5),
  );
  assert.equal(
    maxDifference(new TorchGenerator(seed).randnLikePermuted([2, 3, 5], [0, 1, 2]), flat(contiguous_2x3x5)),
    0,
  );
});

test('seed_everything: Python, numpy; exact', () => {
  type Row = Numbers & {
    error?: string;
    python_random: number[];
    'python_randint_0_2^32-1': number;
    numpy_rand: number[];
    numpy_randn: number[];
  };
  for (const row of json('noise/seed_everything.json') as Row[]) {
    if (row.error) {
      assert.throws(() => seedEverything(row.seed), { code: 'invalid-argument' });
      continue;
    }
    const compare = (output: string, got: readonly number[], want: readonly number[]) => {
      const error = Math.max(...want.map((value, i) => Math.abs(value - (got[i] ?? Number.NaN))));
      recordParity({
        part,
        case: 'seed_everything',
        output: `seed ${row.seed} ${output}`,
        reference: 'pytorch-lightning 1.9.5',
        error,
        tolerance: 0,
      });
    };
    const { python, numpy } = seedEverything(row.seed);
    compare(
      'python_random',
      row.python_random.map(() => python.random()),
      row.python_random,
    );
    compare('python_randint', [python.randint(0, 4294967295)], [row['python_randint_0_2^32-1']]);
    compare('numpy_rand', [...numpy.rand([row.numpy_rand.length]).data], row.numpy_rand);
    compare('numpy_randn', [...numpy.randn([row.numpy_randn.length]).data], row.numpy_randn);
  }
});

const a1111 = 'A1111 v1.10.1';

test('philox: successive draws of one generator', () => {
  const tensors = readTensors(reference('diffusion/noise/philox.safetensors'));
  const row = { part, case: 'philox', reference: a1111, tolerance: 3e-6 };
  const seeds = new Set([...tensors.keys()].map((name) => name.split('.')[1] ?? ''));
  for (const seed of seeds) {
    const generator = new PhiloxGenerator(BigInt(seed));
    for (let i = 0; tensors.has(`philox.${seed}.draw${i}`); i++) {
      const name = `philox.${seed}.draw${i}`;
      const want = pick(tensors, name);
      compareTensor({ ...row, output: name }, generator.randn(want.shape), want);
    }
    const big = tensors.get(`philox.${seed}.big`);
    if (!big) continue;
    const whole = new PhiloxGenerator(BigInt(seed)).randn([4, 64, 64]);
    compareTensor(
      { ...row, output: `philox.${seed}.big` },
      float32(big.shape, whole.data.slice(0, big.data.length)),
      big,
    );
  }
  const { negative_seed } = settingsOf<{ negative_seed: Record<string, number[]> }>('philox');
  for (const [seed, want] of Object.entries(negative_seed)) {
    compareTensor(
      { ...row, output: `seed ${seed}` },
      new PhiloxGenerator(BigInt(seed)).randn([want.length]),
      float32([want.length], want),
    );
  }
});

interface ImageRngSettings {
  source: 'CPU' | 'NV';
  index: number;
  shape: number[];
  seeds: number[];
  subseeds?: number[];
  subseed_strength?: number;
  seed_resize_from_h?: number;
  seed_resize_from_w?: number;
  eta_noise_seed_delta: number;
}

test('image_rng: start noise and two steps, with variations, resized seeds and ENSD', () => {
  const tensors = readTensors(reference('diffusion/noise/image_rng.safetensors'));
  for (const settings of settingsOf<ImageRngSettings[]>('image_rng')) {
    const next = imageNoise({
      seeds: settings.seeds,
      generator: (seed) => (settings.source === 'NV' ? new PhiloxGenerator(seed) : new TorchGenerator(seed)),
      ...(settings.subseeds ? { subseeds: settings.subseeds } : {}),
      subseedStrength: settings.subseed_strength ?? 0,
      seedResizeFrom: { width: settings.seed_resize_from_w ?? 0, height: settings.seed_resize_from_h ?? 0 },
      etaNoiseSeedDelta: settings.eta_noise_seed_delta,
    });
    for (let k = 0; k < 3; k++) {
      const name = `${settings.source}.${settings.index}.next${k}`;
      compareTensor(
        { part, case: 'image_rng', output: name, reference: a1111, tolerance: 2e-5 },
        next([settings.seeds.length, ...settings.shape]),
        pick(tensors, name),
      );
    }
  }
});

test('slerp', () => {
  const tensors = readTensors(reference('diffusion/noise/slerp.safetensors'));
  const low = expectDType(pick(tensors, 'low'), 'float32');
  const high = expectDType(pick(tensors, 'high'), 'float32');
  const near = float32(
    low.shape,
    low.data.map((value, i) => value + Math.fround(Math.fround(0.001) * (high.data[i] as number))),
  );
  for (const [name, want] of tensors) {
    const match = /^(slerp|slerp_near)\.(.+)$/.exec(name);
    if (!match) continue;
    compareTensor(
      { part, case: 'slerp', output: name, reference: a1111, tolerance: 5e-6 },
      slerp(Number(match[2]), low, match[1] === 'slerp' ? high : near),
      want,
    );
  }
});

test('peer_noise: ComfyUI and diffusers', () => {
  const tensors = readTensors(reference('diffusion/noise/peers.safetensors'));
  for (const [name, want] of tensors) {
    const row = {
      part,
      case: 'peer_noise',
      output: name,
      reference: name.startsWith('comfy') ? 'ComfyUI v0.12.1' : 'diffusers 0.42.1',
      tolerance: 2e-6,
    };
    const [peer, kind = '', text = ''] = name.split('.');
    const seed = Number(text);
    if (kind === 'step_noise') {
      const noise = createNoise({ convention: 'comfy', seed });
      const shape = want.shape.slice(1);
      noise.normal(shape);
      const steps = Array.from({ length: want.shape[0] ?? 0 }, () => [...noise.normal(shape).data]);
      compareTensor(row, float32(want.shape, steps.flat()), want);
      continue;
    }
    const indices = /^prepare_noise_inds_(.+)$/.exec(kind)?.[1]?.split('_').map(Number);
    const noise =
      peer === 'comfy'
        ? createNoise({ convention: 'comfy', seed, ...(indices ? { batchIndices: indices } : {}) })
        : createNoise({
            convention: 'diffusers',
            seed,
            ...(kind === 'generator_list' ? { seeds: [seed, seed + 1] } : {}),
          });
    compareTensor(row, noise.normal(want.shape), want);
  }
});

test('brownian_tree: normalised increments of every query', () => {
  type Brownian = {
    t0: number;
    t1: number;
    shape: number[];
    queries: [number, number][];
    rows: { seed: number; noise: number[][][][] }[];
  };
  const { t0, t1, shape, queries, rows }: Brownian = json('samplers/brownian.json');
  for (const { seed, noise } of rows) {
    const list = brownianTreeNoise({ shape, sigmaMin: t0, sigmaMax: t1, seed: [seed] });
    for (const [i, [from, to]] of queries.entries()) {
      const want = float32(shape, (noise[i] ?? []).flat(2));
      compareTensor(
        {
          part: 'diffusion/samplers',
          case: 'brownian_tree',
          output: `seed ${seed} ${from} to ${to}`,
          reference: 'k-diffusion, torchsde 0.2.6',
          tolerance: 2e-5,
        },
        list(from, to),
        want,
      );
    }
  }
});
