/**
 * Brownian-tree noise: increments of one Brownian path per seed, found by halving [sigmaMin, sigmaMax] (Lévy's construction), so that the
 * path, and with it the picture, does not depend on the number of steps.
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
/** Increments kept, the least recently used forgotten first; a forgotten one is computed again to the same value. */
const CACHED = 64;

export interface BrownianTreeOptions {
  /** Shape of the latent, [n, ...]. */
  readonly shape: Shape;
  /** The least and the greatest positive sigma of the schedule. */
  readonly sigmaMin: number;
  readonly sigmaMax: number;
  /** One seed: one path of the whole batch's shape (ComfyUI, diffusers). A list: one path for each image (A1111), which then does not depend on its batch. Not negative. */
  readonly seed: Seed | readonly Seed[];
  /** First normals of a generator with this seed. Default: PyTorch's CPU generator (A1111 with source NV: Philox). */
  readonly normals?: (shape: Shape, seed: Seed) => { readonly data: Float32Array };
}

/** Noise for SDE samplers: (W(sigma) - W(sigmaNext)) / sqrt |sigma - sigmaNext| with k-diffusion's sign. Queries beyond the ends are cut to them. */
export function brownianTreeNoise(options: BrownianTreeOptions): IntervalNoise {
  const { shape, normals = normalNoise } = options;
  const batched = Array.isArray(options.seed);
  const seeds: readonly Seed[] = batched ? (options.seed as readonly Seed[]) : [options.seed as Seed];
  if (batched && seeds.length !== shape[0]) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `${seeds.length} seeds were given for a batch of ${shape[0]} images.`,
    );
  }
  for (const sigma of [options.sigmaMin, options.sigmaMax]) {
    if (!(Math.abs(sigma) < 1e8))
      throw new StableDiffusionError(
        'invalid-argument',
        `A Brownian tree spans finite sigmas below 1e8, and ${sigma} was given.`,
      );
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
        for (let k = 0; k < pathSize; k++)
          data[i * pathSize + k] = ((increment[k] as number) * treeSign * sign) / scale;
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
  /** Path from the root in binary, and its length: the spawn key. */
  readonly key: number;
  readonly depth: number;
  split: { readonly midway: number; readonly left: Node; readonly right: Node; readonly seed: number } | undefined;
}

/** W(b) - W(a) of one path, for a < b. */
function brownianPath(
  t0: number,
  t1: number,
  entropy: Seed,
  shape: Shape,
  normals: NonNullable<BrownianTreeOptions['normals']>,
): (a: number, b: number) => Float32Array {
  const root: Node = { start: roundToMillionths(t0), end: roundToMillionths(t1), key: 0, depth: 0, split: undefined };
  const [rootSeed] = seedSequence(entropy, [], POOL_SIZE, 3);
  const whole = scaled(normals(shape, rootSeed as number).data, Math.sqrt(t1 - t0));
  const cache = new Map<Node, Float32Array>();

  const split = (node: Node): NonNullable<Node['split']> => {
    if (node.split) return node.split;
    const midway = roundToMillionths(0.5 * (node.end + node.start));
    const [seed] = seedSequence(entropy, [node.key, node.depth], POOL_SIZE, 4);
    const child = (start: number, end: number, side: 0 | 1): Node => ({
      start,
      end,
      key: 2 * node.key + side,
      depth: node.depth + 1,
      split: undefined,
    });
    node.split = {
      midway,
      left: child(node.start, midway, 0),
      right: child(midway, node.end, 1),
      seed: seed as number,
    };
    return node.split;
  };

  /** The left half's increment, for every node that was split; its right half is the rest. */
  const leftIncrement = (node: Node, above: Float32Array): Float32Array => {
    const known = cache.get(node);
    if (known) {
      cache.delete(node);
      cache.set(node, known);
      return known;
    }
    const { midway, seed } = split(node);
    const inverse = 1 / (node.end - node.start);
    const left = midway - node.start;
    const right = node.end - midway;
    const noise = normals(shape, seed).data;
    const leftShare = f(left);
    const inverseLength = f(inverse);
    const spread = f(Math.sqrt(left * right * inverse));
    const value = new Float32Array(above.length);
    for (let i = 0; i < value.length; i++) {
      const mean = f(f(leftShare * (above[i] as number)) * inverseLength);
      value[i] = mean + f(spread * (noise[i] as number));
    }
    if (cache.size >= CACHED) {
      for (const oldest of cache.keys()) {
        cache.delete(oldest);
        break;
      }
    }
    cache.set(node, value);
    return value;
  };

  /** Adds up the increments of the nodes, left to right, that make up [a, b], whose ends are whole millionths within the node. */
  const add = (sum: Float32Array, node: Node, increment: Float32Array, a: number, b: number): void => {
    if (a === node.start && b === node.end) {
      for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (increment[i] as number);
      return;
    }
    const { midway, left, right } = split(node);
    const toMidway = leftIncrement(node, increment);
    if (a < midway) add(sum, left, toMidway, a, Math.min(b, midway));
    if (b > midway) {
      const fromMidway = new Float32Array(increment.length);
      for (let i = 0; i < fromMidway.length; i++) fromMidway[i] = (increment[i] as number) - (toMidway[i] as number);
      add(sum, right, fromMidway, Math.max(a, midway), b);
    }
  };

  return (a, b) => {
    const from = roundToMillionths(Math.min(Math.max(a, root.start), root.end));
    const to = roundToMillionths(Math.min(Math.max(b, root.start), root.end));
    const sum = new Float32Array(whole.length);
    if (from !== to) add(sum, root, whole, from, to);
    return sum;
  };
}

function scaled(values: Float32Array, factor: number): Float32Array {
  const narrow = f(factor);
  return values.map((value) => value * narrow);
}

/** Python's `round(x, 6)`: the nearest decimal, and between two the even one (only odd multiples of 2^-7 lie between two). */
export function roundToMillionths(x: number): number {
  const scaledUp = x * 128;
  if (Number.isInteger(scaledUp) && scaledUp % 2 !== 0) {
    const floor = Math.floor(x * 1e6);
    return (floor % 2 === 0 ? floor : floor + 1) / 1e6;
  }
  return Number(x.toFixed(6));
}
