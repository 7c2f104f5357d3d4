/**
 * Adapters whose change depends on the weight W itself, as LyCORIS (Yeh et al. 2024) and A1111's `network_*.py` have them:
 *
 * - GLoRA (Chavan et al. 2023): W · a1 · a2 + b1 · b2, times alpha / r; before LyCORIS 2 the factors lie the other way round.
 * - OFT (Qiu et al. 2023): each block of rows is turned by Rᵀ, R = (I + Q)(I - Q)⁻¹ with Q = B - Bᵀ no longer than alpha · rows;
 *   `oft_diag` of LyCORIS 1 is R itself. `rescale` is a factor for each row.
 * - BOFT (Liu et al. 2024): m such turns by R, between them the rows in another order (a butterfly).
 * - IA3 (Liu et al. 2022): a factor for each row, or with `on_input` for each input channel.
 */

import { StableDiffusionError } from '../../errors.ts';
import { elementCount, type Shape, type Tensor } from '../../tensor/tensor.ts';
import { columnsOf, type Kind } from './delta-kind.ts';
import type { LoraRole } from './lora-keys.ts';
import { inverse, type Matrix, product, transposed } from './matrix-product.ts';

type Tensors = ReadonlyMap<LoraRole, Tensor<'float32'>>;

/**
 * Whether the factors lie as in LyCORIS 1: a1 and b1 [r, in], a2 [in, r], b2 [out, r]; later a1 [in, r], a2 and b2 [r, in], b1 [out, r].
 * Of a square weight both readings fit, and the longer side of a2 decides, as in ComfyUI.
 */
function isOldGlora(shape: (role: LoraRole) => Shape): boolean {
  const [a1, a2, b1, b2] = (['a1', 'a2', 'b1', 'b2'] as const).map(shape) as [Shape, Shape, Shape, Shape];
  const same = (...sizes: readonly (number | undefined)[]): boolean => sizes.every((size) => size === sizes[0]);
  const fitsOld = same(b2[1], b1[0], a1[0], a2[1]);
  const fitsNew = same(b2[0], b1[1], a1[1], a2[0]);
  return fitsOld && (!fitsNew || (a2[0] ?? 0) >= (a2[1] ?? 0));
}

/** a [rows of W's input channels, n] applied to the input channels of W [o, i · k]: [o, n · k]. */
function alongInputs(weight: Matrix, factor: Matrix): Matrix {
  const kernel = weight.columns / factor.rows;
  if (kernel === 1) return product(weight, factor);
  const moved = (matrix: Matrix, channels: number, inwards: boolean): Matrix => {
    const data = new Float64Array(matrix.data.length);
    for (let row = 0; row < matrix.data.length / (channels * kernel); row++)
      for (let c = 0; c < channels; c++)
        for (let k = 0; k < kernel; k++) {
          const [plain, turned] = [(row * channels + c) * kernel + k, (row * kernel + k) * channels + c];
          data[inwards ? turned : plain] = matrix.data[inwards ? plain : turned] as number;
        }
    const columns = inwards ? channels : channels * kernel;
    return { rows: data.length / columns, columns, data };
  };
  return moved(product(moved(weight, factor.rows, true), factor), factor.columns, false);
}

const glora: Kind = {
  needs: ['a1', 'a2', 'b1', 'b2'],
  size: (shape) =>
    isOldGlora(shape) ? [shape('b2')[0] ?? 0, columnsOf(shape('b1'))] : [shape('b1')[0] ?? 0, columnsOf(shape('b2'))],
  rank: (shape) => (isOldGlora(shape) ? shape('a1')[0] : shape('a2')[0]),
  matrix(get, tensors, weight) {
    const old = isOldGlora((role) => tensors.get(role)?.shape ?? []);
    const [a, b] = old ? [get('a2'), get('a1')] : [get('a1'), get('a2')];
    const own = old ? product(get('b2'), get('b1')) : product(get('b1'), get('b2'));
    const turned = alongInputs(alongInputs(weight(), a), b);
    return { ...own, data: Float64Array.from(own.data, (value, i) => value + (turned.data[i] as number)) };
  },
};

/** The blocks [n, s, s] as rotations: R = (I + Q)(I - Q)⁻¹. */
function rotations({ shape, data }: Tensor<'float32'>, longest: number): Matrix[] {
  const side = shape.at(-1) ?? 1;
  const skew = new Float64Array(data.length);
  for (let start = 0; start < data.length; start += side * side)
    for (let i = 0; i < side; i++)
      for (let j = 0; j < side; j++)
        skew[start + i * side + j] = (data[start + i * side + j] as number) - (data[start + j * side + i] as number);
  const length = Math.sqrt(skew.reduce((sum, value) => sum + value * value, 0));
  const factor = longest > 0 && length > longest ? longest / length : 1;
  const blocks: Matrix[] = [];
  for (let start = 0; start < skew.length; start += side * side) {
    const plus = (sign: 1 | -1): Matrix => ({
      rows: side,
      columns: side,
      data: Float64Array.from(
        { length: side * side },
        (_, i) => (i % (side + 1) === 0 ? 1 : 0) + sign * factor * (skew[start + i] as number),
      ),
    });
    blocks.push(product(plus(1), inverse(plus(-1))));
  }
  return blocks;
}

/** Each block of rows of W turned by its matrix. */
function turnedRows(weight: Matrix, blocks: readonly Matrix[]): Matrix {
  const { columns } = weight;
  const data = new Float64Array(weight.data.length);
  for (const [i, block] of blocks.entries()) {
    const at = i * block.rows * columns;
    const rows = { rows: block.rows, columns, data: weight.data.slice(at, at + block.rows * columns) };
    data.set(product(block, rows).data, at);
  }
  return { ...weight, data };
}

/** Rows of [c, a, b] groups as [c, b, a]. */
function swappedRows(weight: Matrix, a: number, b: number): Matrix {
  const { rows, columns } = weight;
  const data = new Float64Array(weight.data.length);
  for (let row = 0; row < rows; row++) {
    const [group, inner] = [Math.floor(row / (a * b)), row % (a * b)];
    const to = group * a * b + (inner % b) * a + Math.floor(inner / b);
    data.set(weight.data.subarray(row * columns, (row + 1) * columns), to * columns);
  }
  return { rows, columns, data };
}

/** What the rows become, less what they were. */
function changeTo(made: Matrix, weight: Matrix, tensors: Tensors): Matrix {
  const scales = tensors.get('rescale')?.data;
  if (scales && scales.length !== weight.rows)
    throw new StableDiffusionError('shape-mismatch', `rescale has ${scales.length} factors for ${weight.rows} rows.`);
  const data = Float64Array.from(
    made.data,
    (value, i) => value * (scales?.[Math.floor(i / weight.columns)] ?? 1) - (weight.data[i] as number),
  );
  return { ...weight, data };
}

function butterfly(blocks: Tensor<'float32'>, weight: Matrix, longest: number): Matrix {
  const [stages = 1, count = 1, side = 1] = blocks.shape;
  const all = rotations(blocks, longest);
  let made = weight;
  for (let stage = 0; stage < stages; stage++) {
    const far = 2 ** stage * (side >> 1);
    if (weight.rows % (2 * far) !== 0)
      throw new StableDiffusionError(
        'shape-mismatch',
        `Stage ${stage} of a butterfly takes groups of ${2 * far} rows; the weight has ${weight.rows}.`,
      );
    const turned = turnedRows(swappedRows(made, 2, far), all.slice(stage * count, (stage + 1) * count));
    made = swappedRows(turned, far, 2);
  }
  return made;
}

const rowsOfBlocks = (shape: Shape): number => (shape.at(-3) ?? 0) * (shape.at(-1) ?? 0);

const oft = (role: 'oft_blocks' | 'oft_diag'): Kind => ({
  needs: [role],
  allows: ['rescale'],
  // The columns are the weight's own.
  size: (shape, layer) => [rowsOfBlocks(shape(role)), layer?.[1] ?? 1],
  rank: () => undefined,
  matrix(_, tensors, weight) {
    const blocks = tensors.get(role) as Tensor<'float32'>;
    const own = weight();
    const side = blocks.shape.at(-1) ?? 1;
    const longest = (tensors.get('alpha')?.data[0] ?? 0) * own.rows;
    if (blocks.shape.at(-2) !== side || rowsOfBlocks(blocks.shape) !== own.rows)
      throw new StableDiffusionError(
        'shape-mismatch',
        `Blocks of [${blocks.shape.join(', ')}] do not turn ${own.rows} rows.`,
      );
    if (blocks.shape.length === 4) return changeTo(butterfly(blocks, own, longest), own, tensors);
    const matrices =
      role === 'oft_blocks'
        ? rotations(blocks, longest)
        : Array.from({ length: own.rows / side }, (_, i) => ({
            rows: side,
            columns: side,
            data: blocks.data.slice(i * side * side, (i + 1) * side * side),
          }));
    return changeTo(turnedRows(own, matrices.map(transposed)), own, tensors);
  },
});

const ia3: Kind = {
  needs: ['weight', 'on_input'],
  size: (shape, layer) => {
    const count = elementCount(shape('weight'));
    return layer && (layer[0] === count || layer[1] % count === 0) ? layer : [count, 1];
  },
  rank: () => undefined,
  matrix(_, tensors, weight) {
    const own = weight();
    const factors = (tensors.get('weight') as Tensor<'float32'>).data;
    const isInput = tensors.get('on_input')?.data[0] !== 0;
    const kernel = own.columns / factors.length;
    if (isInput ? !Number.isInteger(kernel) : factors.length !== own.rows)
      throw new StableDiffusionError(
        'shape-mismatch',
        `${factors.length} factors do not fit ${isInput ? `inputs of ${own.columns} columns` : `${own.rows} rows`}.`,
      );
    const data = own.data.map((value, i) => {
      const at = isInput ? Math.floor((i % own.columns) / kernel) : Math.floor(i / own.columns);
      return value * (factors[at] as number);
    });
    return { ...own, data };
  },
};

export const relativeKinds: readonly Kind[] = [glora, oft('oft_blocks'), oft('oft_diag'), ia3];
