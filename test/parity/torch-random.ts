/** PyTorch's CPU generator against its recorded draws: single ones of every type and size, and mixed sequences. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type NormalDType, normalNoise, TorchGenerator } from '../../src/random/torch-generator.ts';
import { convert } from '../../src/tensor/convert.ts';
import { bytesOf, float32, type Tensor } from '../../src/tensor/tensor.ts';
import { maxDifference } from '../parity.ts';
import { readTensors } from '../tensors.ts';
import { type Comparisons, listDifference, throwsWith } from './comparisons.ts';
import { type Recorded, type RecordedCase, settingsOf } from './reader.ts';

const dtypes: Readonly<Record<string, NormalDType>> = {
  f32: 'float32',
  f64: 'float64',
  f16: 'float16',
  bf16: 'bfloat16',
};

const sha256 = (value: Tensor): string => createHash('sha256').update(bytesOf(value)).digest('hex');

/** The first draw of every seed, size and element type; large draws by their hash; equal streams; refused seeds. */
export function compareRandn(recorded: RecordedCase, compare: Comparisons): void {
  const [small = '', big = ''] = (recorded.row['files'] as readonly string[]).map((file) =>
    join(recorded.setFolder, file),
  );
  const tolerance: Recorded = recorded.row['tolerance'];
  let differing = 0;
  for (const [name, want] of readTensors(small)) {
    const [, type = '', seed = '', size = ''] = name.split('.');
    const dtype = dtypes[type];
    if (dtype === undefined) throw new Error(`${name} is of an unknown type`);
    const drawn: Tensor = new TorchGenerator(BigInt(seed)).randnOf(dtype, [Number(size)]);
    const got = dtype === 'float64' ? drawn : convert(drawn, 'float32');
    compare.tensor(name, got, want, tolerance[`${type}_abs`]);
    if (type !== 'f64' && Buffer.compare(bytesOf(got), bytesOf(want)) !== 0) differing++;
  }
  compare.error('tensors of 16 and 32 bits that are not bit-equal', differing, 0);
  for (const { seed, shape, sha256_f32le, first64 } of JSON.parse(readFileSync(big, 'utf8'))) {
    const got = normalNoise(shape, seed);
    const output = `seed ${seed} [${shape}]`;
    const first = float32([first64.length], got.data.slice(0, first64.length));
    compare.tensor(`${output} first`, first, float32([first64.length], first64), tolerance.f32_abs);
    compare.exact(`${output} sha256`, sha256(got), sha256_f32le);
  }
  compareCapabilities(settingsOf(recorded), tolerance.f32_abs, compare);
  const { 'equal_streams [a,b,same]': pairs, limits } = settingsOf(recorded);
  for (const [a, b, same] of pairs) {
    // 2^63 is exact in a double, though not a safe integer.
    const equal = maxDifference(normalNoise([8], BigInt(a)), normalNoise([8], BigInt(b))) === 0;
    compare.exact(`seeds ${a} and ${b} give one stream`, equal, same);
  }
  for (const [seed, verdict] of Object.entries(limits)) {
    const refused = throwsWith('invalid-argument', () => new TorchGenerator(BigInt(seed))) === 0;
    compare.exact(`seed ${seed}`, refused, verdict !== 'accepted');
  }
}

/** The last bits of other CPUs. */
function compareCapabilities(settings: Recorded, tolerance: number, compare: Comparisons): void {
  const known = settings.sha256_by_cpu_capability;
  const ours = sha256(normalNoise([4, 64, 64], 42));
  for (const capability of ['avx2', 'avx512'])
    compare.exact(`sha256 of ${capability}`, ours, known[capability]?.sha256_seed42_4x64x64);
  const note = 'libm differs in the last bit here and there, so the hash of this capability is not reproduced';
  const first8 = Float32Array.from(known.default?.first8_hex ?? [], hexFloat);
  const got = new TorchGenerator(42, { capability: 'default' }).randn([4, 64, 64]).data.slice(0, 8);
  compare.tensor('first 8 of default', float32([8], got), float32([8], first8), tolerance, { note });
}

/** The value of Python's `float.hex()` text, as in 0x1.8p+1. */
function hexFloat(text: string): number {
  const match = /^(-?)0x1\.([0-9a-f]{13})p([+-]\d+)$/.exec(text);
  if (!match) throw new Error(`${text} is not a hexadecimal float`);
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

/** What the row's tolerance says of integers and uniform numbers (exact) and of normal ones, per type. */
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

/** Mixed draws from one generator, each also from a generator with the state saved before it. */
export function compareSequences(recorded: RecordedCase, compare: Comparisons): void {
  const path = join(recorded.setFolder, String(recorded.row['file']));
  const sequences: readonly { seed: number; draws: readonly { op: Op; values: number[] }[] }[] = JSON.parse(
    readFileSync(path, 'utf8'),
  );
  for (const [n, { seed, draws }] of sequences.entries()) {
    const generator = new TorchGenerator(seed);
    for (const [i, { op, values }] of draws.entries()) {
      const saved = generator.getState();
      const got = draw(generator, op);
      const other = new TorchGenerator(0);
      other.setState(saved);
      const output = `${n}: seed ${seed}, draw ${i} ${op.join(' ')}`;
      compare.error(output, listDifference(got, values), sequenceTolerances[op[0]]);
      compare.error(`${output}, from the saved state`, listDifference(draw(other, op), got), 0);
    }
  }
}
