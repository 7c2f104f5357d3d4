/**
 * Brownian-tree noise: increments of one Brownian path per seed, found by halving [sigmaMin, sigmaMax] (Lévy's construction), so that the
 * path, and with it the picture, does not depend on how many steps look at it.
 *
 * Follows torchsde's BrownianTree (BrownianInterval with `halfway_tree`, tol 1e-6, pool 24) as k-diffusion's and ComfyUI's
 * BrownianTreeNoiseSampler use it, number for number: node seeds from numpy's SeedSequence, normals from a fresh generator per node.
 */

import { StableDiffusionError } from '../errors.ts';
import { elementCount, type Shape, tensor } from '../tensor/tensor.ts';
import type { IntervalNoise } from './noise-source.ts';
import type { Seed } from './seed.ts';
import { seedSequence } from './seed-sequence.ts';
import { normalNoise } from './torch-generator.ts';

const f = Math.fround;
const POOL_SIZE = 24;
/** Increments kept for the next query; a forgotten one is computed again to the same value. */
const CACHED = 45;

export interface BrownianTreeOptions {
  /** Shape of the latent, [n, ...]. */
  readonly shape: Shape;
  /** The least and the greatest positive sigma of the schedule. */
  readonly sigmaMin: number;
  readonly sigmaMax: number;
  /** One seed: one path of the whole batch's shape (ComfyUI, diffusers). A list: one path for each image (A1111), which then does not depend on its batch. Not negative. */
  readonly seed: Seed | readonly Seed[];
  /** First normals of a generator with this seed; PyTorch's CPU generator unless told (A1111 with source NV: Philox). */
  readonly normals?: (shape: Shape, seed: Seed) => { readonly data: Float32Array };
}

/** Noise for SDE samplers: (W(sigma) - W(sigmaNext)) / sqrt |sigma - sigmaNext| with k-diffusion's sign. Queries beyond the ends are cut to them. */
export function brownianTreeNoise(options: BrownianTreeOptions): IntervalNoise {
  const { shape, normals = normalNoise } = options;
  const batched = Array.isArray(options.seed);
  const seeds: readonly Seed[] = batched ? (options.seed as readonly Seed[]) : [options.seed as Seed];
  if (batched && seeds.length !== shape[0]) {
    throw new StableDiffusionError('shape-mismatch', `${seeds.length} seeds were given for a batch of ${shape[0]} images.`);
  }
  const pathShape = batched ? shape.slice(1) : shape;
  const [t0, t1, treeSign] = sorted(f(options.sigmaMin), f(options.sigmaMax));
  const paths = seeds.map((seed) => brownianPath(t0, t1, seed, pathShape, normals));
  const pathSize = elementCount(pathShape);

  return (sigma, sigmaNext) => {
    const [from, to, sign] = sorted(f(sigma), f(sigmaNext));
    const scale = f(Math.sqrt(f(to - from)));
    const data = new Float32Array(elementCount(shape));
    // Nothing passes between equal sigmas; the original divides 0 by 0 there.
    if (from !== to) {
      for (const [i, path] of paths.entries()) {
        const increment = path(from, to);
        for (let k = 0; k < pathSize; k++) data[i * pathSize + k] = ((increment[k] as number) * treeSign * sign) / scale;
      }
    }
    return tensor('float32', shape, data);
  };
}

function sorted(a: number, b: number): [low: number, high: number, sign: number] {
  return a < b ? [a, b, 1] : [b, a, -1];
}

interface Node {
  readonly start: number;
  readonly end: number;
  readonly parent: Node | undefined;
  readonly isLeft: boolean;
  /** Path from the root in binary, and its length: the spawn key. */
  readonly key: number;
  readonly depth: number;
  split: { readonly midway: number; readonly left: Node; readonly right: Node; readonly seed: number } | undefined;
}

/** W(b) - W(a) of one path, for a < b. */
function brownianPath(t0: number, t1: number, entropy: Seed, shape: Shape, normals: NonNullable<BrownianTreeOptions['normals']>): (a: number, b: number) => Float32Array {
  const root: Node = { start: roundToMillionths(t0), end: roundToMillionths(t1), parent: undefined, isLeft: false, key: 0, depth: 0, split: undefined };
  const [rootSeed] = seedSequence(entropy, [], POOL_SIZE, 3);
  const whole = scaled(normals(shape, rootSeed as number).data, Math.sqrt(t1 - t0));
  const cache = new Map<Node, Float32Array>();

  const split = (node: Node): NonNullable<Node['split']> => {
    if (node.split) return node.split;
    const midway = roundToMillionths(0.5 * (node.end + node.start));
    const [seed] = seedSequence(entropy, [node.key, node.depth], POOL_SIZE, 4);
    const child = (start: number, end: number, isLeft: boolean): Node => {
      return { start, end, parent: node, isLeft, key: 2 * node.key + (isLeft ? 0 : 1), depth: node.depth + 1, split: undefined };
    };
    node.split = { midway, left: child(node.start, midway, true), right: child(midway, node.end, false), seed: seed as number };
    return node.split;
  };

  const increment = (node: Node): Float32Array => {
    const { parent } = node;
    if (!parent) return whole;
    const known = cache.get(node);
    if (known) return known;
    const above = increment(parent);
    const { midway, seed } = split(parent);
    const inverse = 1 / (parent.end - parent.start);
    const left = midway - parent.start;
    const right = parent.end - midway;
    const noise = normals(shape, seed).data;
    const spread = f(Math.sqrt(left * right * inverse));
    const value = new Float32Array(above.length);
    for (let i = 0; i < value.length; i++) {
      const mean = f(f(f(left) * (above[i] as number)) * f(inverse));
      const leftValue = f(mean + f(spread * (noise[i] as number)));
      value[i] = node.isLeft ? leftValue : (above[i] as number) - leftValue;
    }
    if (cache.size >= CACHED) for (const oldest of cache.keys()) {
      cache.delete(oldest);
      break;
    }
    cache.set(node, value);
    return value;
  };

  /** The nodes, left to right, that make up [a, b], whose ends are whole millionths. */
  const locate = (node: Node, a: number, b: number, found: Node[]): Node[] => {
    if (a === node.start && b === node.end) {
      found.push(node);
      return found;
    }
    const { midway, left, right } = split(node);
    if (b <= midway) return locate(left, a, b, found);
    if (a >= midway) return locate(right, a, b, found);
    locate(left, a, midway, found);
    return locate(right, midway, b, found);
  };

  return (a, b) => {
    const from = roundToMillionths(Math.min(Math.max(a, root.start), root.end));
    const to = roundToMillionths(Math.min(Math.max(b, root.start), root.end));
    const sum = new Float32Array(whole.length);
    if (from === to) return sum;
    for (const [n, node] of locate(root, from, to, []).entries()) {
      const part = increment(node);
      for (let i = 0; i < sum.length; i++) sum[i] = n === 0 ? (part[i] as number) : (sum[i] as number) + (part[i] as number);
    }
    return sum;
  };
}

function scaled(values: Float32Array, factor: number): Float32Array {
  const narrow = f(factor);
  return values.map((value) => value * narrow);
}

/** Python's `round(x, 6)`: the nearest decimal, and between two the even one (only odd multiples of 2^-7 lie between two). */
export function roundToMillionths(x: number): number {
  const eighths = x * 128;
  if (Number.isInteger(eighths) && eighths % 2 !== 0) {
    const floor = Math.floor(x * 1e6);
    return (floor % 2 === 0 ? floor : floor + 1) / 1e6;
  }
  return Number(x.toFixed(6));
}
