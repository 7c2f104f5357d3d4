/** How IP-Adapter's weight is distributed over the layers of a UNet, by the names of ComfyUI_IPAdapter_plus. Layers are counted in the UNet's order. */

import type { UNetConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';

/** Where a layer lies in the UNet. */
export type LayerPart = 'input' | 'middle' | 'output';

/** The factor of layer `index` of `count`. */
export type LayerFactor = (index: number, count: number, part: LayerPart) => number;

/** A fifth in some parts. */
const weakIn =
  (...parts: readonly LayerPart[]): LayerFactor =>
  (_, _count, part) =>
    parts.includes(part) ? 0.2 : 1;

/** Layers of SD v1 (16 of them) and SDXL (11) with their factors; those left out get 0. */
interface ByFamily {
  readonly v1: Readonly<Record<number, number>>;
  readonly xl: Readonly<Record<number, number>>;
}

const factors = (layers: readonly number[], others: Readonly<Record<number, number>> = {}) => ({
  ...Object.fromEntries(layers.map((layer) => [layer, 1])),
  ...others,
});

const ends = [0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15];
const chosen: Readonly<Record<string, ByFamily>> = {
  'style transfer': { v1: factors(ends), xl: { 6: 1 } },
  composition: { v1: { 4: 0.25, 5: 1 }, xl: { 3: 1 } },
  'strong style transfer': {
    v1: factors([...ends, 6, 7, 8]),
    xl: factors([0, 1, 2, 4, 5, 6, 7, 8, 9, 10]),
  },
  'style and composition': { v1: factors([...ends, 5], { 4: 0.25 }), xl: { 3: 1, 6: 1 } },
};

const curves: Readonly<Record<string, LayerFactor>> = {
  linear: () => 1,
  'ease in': (i, n) => 0.05 + 0.95 * (1 - i / n),
  'ease out': (i, n) => 0.05 + 0.95 * (i / n),
  'ease in-out': (i, n) => 0.05 + 0.95 * (1 - Math.abs(i - n / 2) / (n / 2)),
  'reverse in-out': (i, n) => 0.05 + 0.95 * (Math.abs(i - n / 2) / (n / 2)),
  'weak input': weakIn('input'),
  'weak output': weakIn('output'),
  'weak middle': weakIn('middle'),
  'strong middle': weakIn('input', 'output'),
};

/** The names that nodes offer. */
export const weightTypes: readonly string[] = [...Object.keys(curves), ...Object.keys(chosen)];

/** Throws `invalid-argument` for a name that is not there, and for a UNet whose layers the name does not know. */
export function layerFactors(name: string, { context_dim }: UNetConfig): LayerFactor {
  const curve = curves[name];
  if (curve) return curve;
  const family = chosen[name];
  if (!family)
    throw new StableDiffusionError(
      'invalid-argument',
      `The weight type ${JSON.stringify(name)} is not supported. Choose ${weightTypes.join(', ')}.`,
    );
  const table = context_dim === 2048 ? family.xl : family.v1;
  return (index) => table[index] ?? 0;
}
