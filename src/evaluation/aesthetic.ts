/**
 * LAION's aesthetic predictors on CLIP image features, 1 (poor) to 10: the linear head of version 1, and version 2's layers, which have no
 * activation between them ("sac+logos+ava1-l14-linearMSE"). What Stable Diffusion's training sets were filtered by.
 */

import { StableDiffusionError } from '../errors.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';

interface Layer {
  readonly weight: Tensor<'float32'>;
  readonly bias: Tensor<'float32'>;
}

export interface AestheticHead {
  /** Version of the predictor. */
  readonly version: 1 | 2;
  /** Elements of the features: 768 of CLIP L/14, 512 of B/32. */
  readonly width: number;
  /** A score for each row of features [n, width]. Throws `shape-mismatch`. */
  score(features: Tensor): Float32Array;
  /** What each layer makes of features [n, width], the last the scores. */
  layers(features: Tensor): readonly Tensor<'float32'>[];
}

/** Rows divided by their L2 norm; a row of zeros stays as it is. */
export function normalisedRows(features: Tensor): Tensor<'float32'> {
  const { shape, data } = toFloat32(features);
  const width = shape.at(-1) ?? 1;
  const out = new Float32Array(data.length);
  for (let start = 0; start < data.length; start += width) {
    let sum = 0;
    for (let i = start; i < start + width; i++) sum += (data[i] as number) ** 2;
    const norm = Math.sqrt(sum) || 1;
    for (let i = start; i < start + width; i++) out[i] = (data[i] as number) / norm;
  }
  return float32(shape, out);
}

function linear(x: Tensor<'float32'>, { weight, bias }: Layer): Tensor<'float32'> {
  const [rows = 0, inner = 0] = x.shape;
  const out = weight.shape[0] ?? 0;
  const data = new Float32Array(rows * out);
  for (let row = 0; row < rows; row++)
    for (let o = 0; o < out; o++) {
      let sum = bias.data[o] as number;
      for (let i = 0; i < inner; i++)
        sum += (weight.data[o * inner + i] as number) * (x.data[row * inner + i] as number);
      data[row * out + o] = sum;
    }
  return float32([rows, out], data);
}

/** Reads a head: `layers.N.weight` of version 2 or `weight` of version 1. Throws `file-unsupported` for other files. */
export async function aestheticHead(source: WeightSource): Promise<AestheticHead> {
  const read = async (prefix: string): Promise<Layer> => ({
    weight: toFloat32(await source.read(`${prefix}weight`)),
    bias: toFloat32(await source.read(`${prefix}bias`)),
  });
  const numbers = [...source.entries.keys()]
    .flatMap((name) => /^layers\.(\d+)\.weight$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
  if (numbers.length === 0 && !source.entries.has('weight'))
    throw new StableDiffusionError(
      'file-unsupported',
      `${source.label} is not an aesthetic predictor: it has neither layers.0.weight nor weight.`,
    );
  const prefixes = numbers.length > 0 ? numbers.map((number) => `layers.${number}.`) : [''];
  const head = new Map<string, Layer>();
  for (const prefix of prefixes) head.set(prefix, await read(prefix));
  const width = head.get(prefixes[0] ?? '')?.weight.shape[1] ?? 0;
  const last = numbers.at(-1) ?? 0;
  const layers = (features: Tensor): Tensor<'float32'>[] => {
    if (features.shape.at(-1) !== width)
      throw new StableDiffusionError(
        'shape-mismatch',
        `The predictor takes features of ${width} elements; [${features.shape.join(', ')}] was given.`,
      );
    let x = normalisedRows(features);
    // Layers between, which have no weights, are dropouts: nothing happens there.
    return Array.from({ length: last + 1 }, (_, i) => {
      const layer = head.get(numbers.length > 0 ? `layers.${i}.` : '');
      x = layer ? linear(x, layer) : x;
      return x;
    });
  };
  return {
    version: numbers.length > 0 ? 2 : 1,
    width,
    layers,
    score: (features) => layers(features).at(-1)?.data ?? new Float32Array(),
  };
}
