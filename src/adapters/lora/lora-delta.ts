/**
 * The change that an adapter makes to a weight, by kind, with alpha and rank r (alpha / r is 1 if the file has no alpha):
 *
 * - LoRA (Hu et al. 2022), LoCon: up · down · alpha / r; with `lora_mid` the CP form Σ mid[n, m] up[·, n] down[m, ·].
 * - LoHa (Hyeon-Woo et al. 2022): (w1a · w1b) ∘ (w2a · w2b) · alpha / r, each product in Tucker form where there are t1, t2.
 * - LoKr (Yeh et al. 2024): w1 ⊗ w2 · alpha / r, each factor whole or a product; without alpha / r where both are whole.
 * - full difference: `diff`, and of norms `w_norm`.
 * - GLoRA, OFT, BOFT, IA3: `relative-kinds.ts`.
 * - with a magnitude (DoRA, Liu et al. 2024) the change W' becomes m · (W + W') / ‖W + W'‖ - W, norms taken by output (PEFT, and
 *   `dora_scale` [out, 1, …]) or by input channel (`dora_scale` [1, in, …], LyCORIS before 3).
 *
 * As in A1111's `network_*.py` and ComfyUI. A convolution's weight [o, i, kh, kw] is the matrix [o, i · kh · kw] here.
 */

import { StableDiffusionError } from '../../errors.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import { elementCount, type Shape, type Tensor } from '../../tensor/tensor.ts';
import type { LoraFile, LoraModule } from './lora-file.ts';
import type { LoraRole } from './lora-keys.ts';
import { columnsOf, type Kind, pixels } from './delta-kind.ts';
import { asMatrix, kronecker, type Matrix, product, transposed } from './matrix-product.ts';
import { relativeKinds } from './relative-kinds.ts';

export interface LoraDelta {
  readonly matrix: Matrix;
  /** Factor on the matrix, in addition to the user's strength. */
  readonly scale: number;
}

/** Σ_nm core[n, m, ·] · left[n, ·]ᵀ · right[m, ·]: left [r, o], core [r, r, …k], right [r, i] → [o, i · k]. */
function tucker(core: Tensor<'float32'>, left: Matrix, right: Matrix): Matrix {
  const [n = 1, m = 1] = core.shape;
  const k = pixels(core.shape);
  if (n !== left.rows || m !== right.rows)
    throw new StableDiffusionError(
      'shape-mismatch',
      `A core of [${core.shape.join(', ')}] does not fit factors of ranks ${left.rows} and ${right.rows}.`,
    );
  const inner = new Float64Array(n * right.columns * k);
  for (let a = 0; a < n; a++) {
    for (let b = 0; b < m; b++) {
      for (let j = 0; j < right.columns; j++) {
        const factor = right.data[b * right.columns + j] as number;
        const at = (a * right.columns + j) * k;
        for (let p = 0; p < k; p++)
          inner[at + p] = (inner[at + p] as number) + factor * (core.data[(a * m + b) * k + p] as number);
      }
    }
  }
  return product(transposed(left), { rows: n, columns: right.columns * k, data: inner });
}

const kinds: readonly Kind[] = [
  {
    needs: ['up', 'down', 'mid'],
    size: (shape) => [shape('up')[0] ?? 0, columnsOf(shape('down')) * pixels(shape('mid'))],
    rank: (shape) => shape('down')[0],
    matrix: (get, tensors) => tucker(tensors.get('mid') as Tensor<'float32'>, transposed(get('up')), get('down')),
  },
  {
    needs: ['up', 'down'],
    size: (shape) => [shape('up')[0] ?? 0, columnsOf(shape('down'))],
    rank: (shape) => shape('down')[0],
    matrix: (get) => product(get('up'), get('down')),
  },
  {
    needs: ['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b', 'hada_t1', 'hada_t2'],
    size: (shape) => [shape('hada_w1_a')[1] ?? 0, columnsOf(shape('hada_w1_b')) * pixels(shape('hada_t1'))],
    rank: (shape) => shape('hada_w1_b')[0],
    matrix: (get, tensors) =>
      hadamard(
        tucker(tensors.get('hada_t1') as Tensor<'float32'>, get('hada_w1_a'), get('hada_w1_b')),
        tucker(tensors.get('hada_t2') as Tensor<'float32'>, get('hada_w2_a'), get('hada_w2_b')),
      ),
  },
  {
    needs: ['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b'],
    size: (shape) => [shape('hada_w1_a')[0] ?? 0, columnsOf(shape('hada_w1_b'))],
    rank: (shape) => shape('hada_w1_b')[0],
    matrix: (get) => hadamard(product(get('hada_w1_a'), get('hada_w1_b')), product(get('hada_w2_a'), get('hada_w2_b'))),
  },
  ...(['lokr_w1', 'lokr_w1_b'] as const).flatMap((first) =>
    (['lokr_w2', 'lokr_t2', 'lokr_w2_b'] as const).map((second) => kroneckerKind(first, second)),
  ),
  {
    needs: ['diff'],
    size: (shape) => [shape('diff')[0] ?? 0, columnsOf(shape('diff'))],
    rank: () => undefined,
    matrix: (get) => get('diff'),
  },
  {
    needs: ['w_norm'],
    size: (shape) => [shape('w_norm')[0] ?? 0, 1],
    rank: () => undefined,
    matrix: (get) => get('w_norm'),
  },
  ...relativeKinds,
];

function hadamard(a: Matrix, b: Matrix): Matrix {
  if (a.rows !== b.rows || a.columns !== b.columns)
    throw new StableDiffusionError(
      'shape-mismatch',
      `Factors of ${a.rows} x ${a.columns} and ${b.rows} x ${b.columns} cannot be multiplied element by element.`,
    );
  return { ...a, data: Float32Array.from(a.data, (value, i) => value * (b.data[i] as number)) };
}

/** LoKr by what its factors are: whole, a product, or (t2) a Tucker form. */
function kroneckerKind(first: 'lokr_w1' | 'lokr_w1_b', second: 'lokr_w2' | 'lokr_w2_b' | 'lokr_t2'): Kind {
  const left: readonly LoraRole[] = first === 'lokr_w1' ? ['lokr_w1'] : ['lokr_w1_a', 'lokr_w1_b'];
  const right: readonly LoraRole[] =
    second === 'lokr_w2'
      ? ['lokr_w2']
      : second === 'lokr_t2'
        ? ['lokr_t2', 'lokr_w2_a', 'lokr_w2_b']
        : ['lokr_w2_a', 'lokr_w2_b'];
  const leftSize = (shape: (role: LoraRole) => Shape): readonly [number, number] =>
    first === 'lokr_w1'
      ? [shape('lokr_w1')[0] ?? 0, columnsOf(shape('lokr_w1'))]
      : [shape('lokr_w1_a')[0] ?? 0, columnsOf(shape('lokr_w1_b'))];
  const rightSize = (shape: (role: LoraRole) => Shape): readonly [number, number] => {
    if (second === 'lokr_w2') return [shape('lokr_w2')[0] ?? 0, columnsOf(shape('lokr_w2'))];
    if (second === 'lokr_t2')
      return [shape('lokr_w2_a')[1] ?? 0, columnsOf(shape('lokr_w2_b')) * pixels(shape('lokr_t2'))];
    return [shape('lokr_w2_a')[0] ?? 0, columnsOf(shape('lokr_w2_b'))];
  };
  return {
    needs: [...left, ...right],
    size: (shape) => [leftSize(shape)[0] * rightSize(shape)[0], leftSize(shape)[1] * rightSize(shape)[1]],
    rank: (shape) =>
      second === 'lokr_w2' ? (first === 'lokr_w1' ? undefined : shape('lokr_w1_b')[0]) : shape('lokr_w2_b')[0],
    matrix: (get, tensors) => {
      const w1 = first === 'lokr_w1' ? get('lokr_w1') : product(get('lokr_w1_a'), get('lokr_w1_b'));
      if (second === 'lokr_w2') return kronecker(w1, get('lokr_w2'));
      if (second === 'lokr_t2')
        return kronecker(w1, tucker(tensors.get('lokr_t2') as Tensor<'float32'>, get('lokr_w2_a'), get('lokr_w2_b')));
      return kronecker(w1, product(get('lokr_w2_a'), get('lokr_w2_b')));
    },
  };
}

/** Options shared by modules of all kinds. */
const besides: ReadonlySet<LoraRole> = new Set(['alpha', 'diff_b', 'b_norm', 'dora_scale', 'magnitude']);

/** The kind whose tensors a module has, all of them and no other but those. */
function kindOf({ tensors }: LoraModule): Kind | undefined {
  const roles = [...tensors.keys()].filter((role) => !besides.has(role));
  return kinds.find(
    ({ needs, allows = [] }) =>
      needs.every((role) => tensors.has(role)) && roles.every((role) => needs.includes(role) || allows.includes(role)),
  );
}

const biasOf = ({ tensors }: LoraModule): string | undefined => (tensors.get('diff_b') ?? tensors.get('b_norm'))?.name;

/**
 * The change of a module, determined from its shapes alone, and from the size of its layer where it depends on it. `weight` is [rows, columns].
 * Throws `weights-mismatch` if its tensors do not form a known adapter.
 */
export function deltaSizes(
  file: LoraFile,
  module: LoraModule,
  layer?: readonly [rows: number, columns: number],
): { readonly weight?: readonly [number, number]; readonly bias?: number } {
  const shape = (role: LoraRole): Shape => module.tensors.get(role)?.shape ?? [];
  const bias = (module.tensors.get('diff_b') ?? module.tensors.get('b_norm'))?.shape[0];
  const kind = kindOf(module);
  if (!kind && bias === undefined) {
    throw new StableDiffusionError(
      'weights-mismatch',
      `${file.label}: module ${module.name} has the tensors ${[...module.tensors.keys()].join(', ')}, which make no known adapter; some are missing.`,
    );
  }
  const weight = kind?.size(shape, layer);
  if (kind && weight) checkScales(file, module, kind, weight);
  return { ...(weight ? { weight } : {}), ...(bias === undefined ? {} : { bias }) };
}

/** Throws where alpha, rank or magnitude have a shape that the layer has no use for: what would be ignored or give NaN. */
function checkScales(file: LoraFile, module: LoraModule, kind: Kind, [rows, columns]: readonly [number, number]): void {
  const shape = (role: LoraRole): Shape => module.tensors.get(role)?.shape ?? [];
  const misfit = (role: string, found: string, expected: string): StableDiffusionError =>
    new StableDiffusionError(
      'weights-mismatch',
      `${file.label}: ${role} of module ${module.name} is ${found}, and ${expected} was expected.`,
    );
  const rank = kind.rank(shape, (role) => module.tensors.has(role));
  if (rank === 0) throw misfit('the rank', '0', 'at least 1');
  const alpha = module.tensors.get('alpha')?.shape;
  if (alpha && elementCount(alpha) !== 1) throw misfit('alpha', `[${alpha.join(', ')}]`, 'one number');
  for (const role of ['dora_scale', 'magnitude'] as const) {
    const magnitude = module.tensors.get(role)?.shape;
    if (!magnitude) continue;
    const count = elementCount(magnitude);
    const isByInput = role === 'dora_scale' && magnitude.length > 1 && magnitude[0] === 1 && rows > 1;
    if (isByInput ? count < 1 || columns % count !== 0 : count !== rows)
      throw misfit(role, `[${magnitude.join(', ')}]`, `one number for each of ${rows} rows`);
  }
}

/** Calculates what a module adds to its layer's weight, which a magnitude depends on: [out, …], as a matrix. */
export async function weightDelta(
  file: LoraFile,
  module: LoraModule,
  weight: () => Matrix,
  signal?: AbortSignal,
): Promise<LoraDelta> {
  const kind = kindOf(module);
  if (!kind)
    throw new StableDiffusionError('weights-mismatch', `${file.label}: module ${module.name} changes no weight.`);
  const tensors = new Map<LoraRole, Tensor<'float32'>>();
  for (const role of [...kind.needs, ...(kind.allows ?? []), 'alpha' as const]) {
    const entry = module.tensors.get(role);
    if (entry) tensors.set(role, toFloat32(await file.read(entry.name, signal)));
  }
  const rank = kind.rank(
    (role) => module.tensors.get(role)?.shape ?? [],
    (role) => tensors.has(role),
  );
  const alpha = tensors.get('alpha')?.data[0];
  const scale = rank === undefined ? 1 : alpha === undefined ? (file.peft?.scale(module, rank) ?? 1) : alpha / rank;
  const matrix = calculate(file, module, () =>
    kind.matrix((role) => asMatrix(tensors.get(role) as Tensor<'float32'>), tensors, weight),
  );
  const magnitude = module.tensors.get('dora_scale') ?? module.tensors.get('magnitude');
  if (!magnitude) return { matrix, scale };
  const byInput = module.tensors.has('dora_scale') && magnitude.shape[0] === 1 && matrix.rows > 1;
  const values = toFloat32(await file.read(magnitude.name, signal)).data;
  const normed = byInput ? 'input' : file.rowNorms === 'original' ? 'original' : 'output';
  return { matrix: withMagnitude(weight(), { ...matrix, scale }, values, normed), scale: 1 };
}

function calculate(file: LoraFile, module: LoraModule, make: () => Matrix): Matrix {
  try {
    return make();
  } catch (cause) {
    if (!(cause instanceof StableDiffusionError)) throw cause;
    throw new StableDiffusionError(
      'weights-mismatch',
      `${file.label}: the tensors of module ${module.name} do not fit each other. ${cause.message}`,
      { cause },
    );
  }
}

/**
 * m · (W + scale · Δ) / ‖W + scale · Δ‖ - W, with one norm for each output, or for each input channel. With `original` the norm of each output
 * is ‖W‖.
 */
function withMagnitude(
  weight: Matrix,
  delta: Matrix & { readonly scale: number },
  magnitude: Float32Array,
  norms: 'output' | 'input' | 'original',
): Matrix {
  const { rows, columns } = weight;
  const sum = Float64Array.from(weight.data, (value, i) => value + delta.scale * (delta.data[i] as number));
  const byInput = norms === 'input';
  // In a convolution the columns of one input channel are adjacent.
  const kernel = byInput ? columns / magnitude.length : 1;
  const groupOf = (i: number): number => (byInput ? Math.floor((i % columns) / kernel) : Math.floor(i / columns));
  const squares = new Float64Array(magnitude.length);
  for (const [i, value] of (norms === 'original' ? weight.data : sum).entries())
    squares[groupOf(i)] = (squares[groupOf(i)] ?? 0) + value * value;
  const data = Float32Array.from(
    sum,
    (value, i) =>
      (value * (magnitude[groupOf(i)] as number)) / Math.sqrt(squares[groupOf(i)] as number) -
      (weight.data[i] as number),
  );
  return { rows, columns, data };
}

/** The change of the layer's bias, if any. */
export async function biasDelta(
  file: LoraFile,
  module: LoraModule,
  signal?: AbortSignal,
): Promise<LoraDelta | undefined> {
  const name = biasOf(module);
  return name === undefined ? undefined : { matrix: asMatrix(toFloat32(await file.read(name, signal))), scale: 1 };
}
