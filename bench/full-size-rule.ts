/**
 * The values of the full-size reference checkpoint: made-up weights by a stateless rule, so that outputs recorded with them can be compared
 * anywhere. Rule: `full-size.md` of the reference set (FNV-1a of the name, murmur3's finaliser, uniform values scaled by the fan-in).
 */

import { createHash } from 'node:crypto';
import { convert } from '../src/tensor/convert.ts';
import { elementCount, float32, type Tensor, tensor } from '../src/tensor/tensor.ts';

/** Seed of the recorded outputs. */
export const recordedSeed = 20220810;

const queryAndKey = ['.to_q.weight', '.to_k.weight', '.q_proj.weight', '.k_proj.weight', '.q.weight', '.k.weight'];

function fnv1a(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}

function offsetAndScale(name: string, shape: readonly number[]): readonly [offset: number, scale: number] {
  if (name.startsWith('input.')) return [0, name.includes('.image') ? 1 : Math.sqrt(3)];
  if (name.endsWith('embedding.weight')) return [0, 0.05];
  if (shape.length >= 2) {
    const gain = queryAndKey.some((ending) => name.endsWith(ending)) ? 1.5 : 1;
    return [0, gain * Math.sqrt(3 / elementCount(shape.slice(1)))];
  }
  return name.endsWith('.weight') ? [1, 0.1] : [0, 0.1];
}

/** Elements `start`, … of the tensor `name`, as many as `target` holds. */
export function fillMadeUp(
  target: Float32Array,
  name: string,
  shape: readonly number[],
  seed = recordedSeed,
  start = 0,
): void {
  const [offset, scale] = offsetAndScale(name, shape);
  let state = (fnv1a(name) ^ seed) + Math.imul(start, 0x9e3779b9);
  for (let i = 0; i < target.length; i++) {
    let x = state | 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    x ^= x >>> 16;
    target[i] = offset + ((x >>> 8) * 2 ** -23 - 1) * scale;
    state = (state + 0x9e3779b9) | 0;
  }
}

/** A whole made-up tensor. */
export function madeUp(name: string, shape: readonly number[], seed = recordedSeed): Tensor<'float32'> {
  const data = new Float32Array(elementCount(shape));
  fillMadeUp(data, name, shape, seed);
  return float32(shape, data);
}

/** SHA-256 of a tensor's little-endian bytes. */
export function sha256({ data }: Tensor): string {
  return createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
}

/** The tensors that are not made up: the schedule's buffers as the original registers them (linear in sqrt β from 0.00085 to 0.012), and the positions. */
export function realTensors(): ReadonlyMap<string, Tensor> {
  const [first, last, steps] = [Math.sqrt(0.00085), Math.sqrt(0.012), 1000];
  const betas = Float64Array.from(
    { length: steps },
    (_, i) => (i === steps - 1 ? last : i * ((last - first) / (steps - 1)) + first) ** 2,
  );
  let product = 1;
  const alphas = betas.map((beta) => (product *= 1 - beta));
  const before = alphas.map((_, i) => alphas[i - 1] ?? 1);
  const each = (f: (alpha: number, before: number, beta: number) => number): Float64Array =>
    alphas.map((alpha, i) => f(alpha, before[i] ?? 1, betas[i] ?? 0));
  const variance = each((alpha, previous, beta) => (beta * (1 - previous)) / (1 - alpha));
  const buffers: Readonly<Record<string, Float64Array>> = {
    betas,
    alphas_cumprod: alphas,
    alphas_cumprod_prev: before,
    sqrt_alphas_cumprod: alphas.map(Math.sqrt),
    sqrt_one_minus_alphas_cumprod: each((alpha) => Math.sqrt(1 - alpha)),
    log_one_minus_alphas_cumprod: each((alpha) => Math.log(1 - alpha)),
    sqrt_recip_alphas_cumprod: each((alpha) => Math.sqrt(1 / alpha)),
    sqrt_recipm1_alphas_cumprod: each((alpha) => Math.sqrt(1 / alpha - 1)),
    posterior_variance: variance,
    posterior_log_variance_clipped: variance.map((value) => Math.log(Math.max(value, 1e-20))),
    posterior_mean_coef1: each((alpha, previous, beta) => (beta * Math.sqrt(previous)) / (1 - alpha)),
    posterior_mean_coef2: each((alpha, previous, beta) => ((1 - previous) * Math.sqrt(1 - beta)) / (1 - alpha)),
  };
  const positions = tensor(
    'int64',
    [1, 77],
    BigInt64Array.from({ length: 77 }, (_, i) => BigInt(i)),
  );
  return new Map<string, Tensor>([
    ...Object.entries(buffers).map(
      ([name, values]) => [name, convert(tensor('float64', [steps], values), 'float32')] as const,
    ),
    ['cond_stage_model.transformer.text_model.embeddings.position_ids', positions],
  ]);
}
