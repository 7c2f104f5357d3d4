/** Two models or text encoders as one, tensor by tensor as they are read: shares, sums, differences. Of one name and shape only. */

import type { NamedNetwork } from '../model/network-set.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { aliased, weightView } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { inHalfPrecision } from './half-precision.ts';
import type { ClipValue } from './values/clip.ts';
import type { ModelValue } from './values/model.ts';

/** Factors of the first and the second tensor of a name. */
type Factors = (name: string) => readonly [first: number, second: number];

function mergedWeights(a: WeightSource, b: WeightSource, factors: Factors): WeightSource {
  const entries = Array.from(a.entries.values(), ({ name, shape }) => {
    const own = aliased(a, name);
    if (b.entries.get(name)?.shape.join() !== shape.join()) return own;
    const [first, second] = factors(name).map(Math.fround) as [number, number];
    return {
      entry: { ...own.entry, dtype: 'float32' as const },
      async read(signal?: AbortSignal) {
        const [x, y] = [toFloat32(await a.read(name, signal)), toFloat32(await b.read(name, signal))];
        const data = x.data.map((value, i) => Math.fround(value * first) + Math.fround((y.data[i] as number) * second));
        return { ...x, data };
      },
    };
  });
  return weightView(a.label, entries, [a, b]);
}

function merged<T extends ModelValue | ClipValue>(a: T, b: T, factors: Factors): T {
  const network = <N extends NamedNetwork>(own: N, other: N | undefined): N =>
    other ? { ...own, weights: mergedWeights(own.weights, other.weights, factors) } : own;
  if ('network' in a && 'network' in b) return { ...a, network: network(a.network, b.network) };
  const [first, second] = [a, b] as [ClipValue, ClipValue];
  const encoders = first.encoders.map((encoder, i) => {
    const made = network(encoder.network, second.encoders[i]?.network);
    return { ...encoder, network: { ...made, weights: inHalfPrecision(made.weights) } };
  });
  return { ...a, encoders };
}

/** x + strength (to - from), tensor by tensor. */
export function movedTowards(
  x: WeightSource,
  { from, to, strength }: { readonly from: WeightSource; readonly to: WeightSource; readonly strength: number },
): WeightSource {
  return mergedWeights(
    mergedWeights(x, to, () => [1, strength]),
    from,
    (name) => [1, to.entries.get(name)?.shape.join() === from.entries.get(name)?.shape.join() ? -strength : 0],
  );
}

/** a · share + b · (1 - share). */
export const mixture = <T extends ModelValue | ClipValue>(a: T, b: T, share: (name: string) => number): T =>
  merged(a, b, (name) => [share(name), 1 - share(name)]);

export const sum = <T extends ModelValue | ClipValue>(a: T, b: T): T => merged(a, b, () => [1, 1]);

/** (a - b) · factor. */
export const difference = <T extends ModelValue | ClipValue>(a: T, b: T, factor: number): T =>
  merged(a, b, () => [factor, -factor]);

/** The share of the longest of the prefixes with which a name begins; the first of them for other names. */
export function sharesByPrefix(shares: Readonly<Record<string, number>>): (name: string) => number {
  const prefixes = Object.keys(shares).sort((a, b) => b.length - a.length);
  const [first = 1] = Object.values(shares);
  return (name) => shares[prefixes.find((prefix) => name.startsWith(prefix)) ?? ''] ?? first;
}
