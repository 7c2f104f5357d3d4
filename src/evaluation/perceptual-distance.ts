/**
 * LPIPS (Zhang et al. 2018, arXiv:1801.03924; `LPIPS.forward` of taming/modules/losses/lpips.py) of given features: at every layer the
 * channels are scaled to unit length, squared differences weighed by channel and averaged over the picture; layers are summed.
 */

import { StableDiffusionError } from '../errors.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Features of a batch at each layer, [n, c, h, w]; the network's own scaling of its input is its business. */
export type PerceptualFeatures = (images: Tensor<'float32'>) => Promise<readonly Tensor[]>;

/** One distance a picture. `linear`: the weights of each layer's channels, any shape of c elements (`lin0.model.1.weight`, [1, c, 1, 1]). */
export function perceptualDistance(
  a: readonly Tensor[],
  b: readonly Tensor[],
  linear: readonly Tensor[],
): Float64Array {
  if (a.length !== b.length || a.length !== linear.length || a.length === 0) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `LPIPS needs the same layers of both pictures and weights for each: ${a.length}, ${b.length} and ${linear.length} were given.`,
    );
  }
  const [n = 0] = a[0]?.shape ?? [];
  const total = new Float64Array(n);
  for (const [layer, p] of a.entries()) {
    const distances = layerDistance(p, b[layer] as Tensor, linear[layer] as Tensor);
    for (let i = 0; i < n; i++) total[i] = (total[i] as number) + (distances[i] as number);
  }
  return total;
}

/** LPIPS of two batches [n, 3, h, w] in [-1, 1], by a network that gives the features. */
export async function lpips(
  a: Tensor<'float32'>,
  b: Tensor<'float32'>,
  features: PerceptualFeatures,
  linear: readonly Tensor[],
): Promise<Float64Array> {
  return perceptualDistance(await features(a), await features(b), linear);
}

function layerDistance(first: Tensor, second: Tensor, weights: Tensor): Float64Array {
  const [n = 0, c = 0, h = 0, w = 0] = first.shape;
  if (first.shape.length !== 4 || first.shape.join() !== second.shape.join() || weights.data.length !== c) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `Features [${first.shape.join(', ')}] and [${second.shape.join(', ')}] with ${weights.data.length} weights cannot be compared.`,
    );
  }
  const p = toFloat32(first).data;
  const q = toFloat32(second).data;
  const weight = toFloat32(weights).data;
  const area = h * w;
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let at = 0; at < area; at++) {
      let lengthP = 0;
      let lengthQ = 0;
      for (let k = 0, j = i * c * area + at; k < c; k++, j += area) {
        lengthP += (p[j] as number) ** 2;
        lengthQ += (q[j] as number) ** 2;
      }
      const scaleP = 1 / (Math.sqrt(lengthP) + 1e-10);
      const scaleQ = 1 / (Math.sqrt(lengthQ) + 1e-10);
      for (let k = 0, j = i * c * area + at; k < c; k++, j += area)
        sum += (weight[k] as number) * ((p[j] as number) * scaleP - (q[j] as number) * scaleQ) ** 2;
    }
    out[i] = sum / area;
  }
  return out;
}
