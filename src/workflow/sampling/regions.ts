/**
 * Where and when each entry of a conditioning holds: areas and masks of the latent, their weights, and the levels between which an entry is
 * active. After ComfyUI's `resolve_areas_and_cond_masks`, `get_area_and_mult` and `create_cond_with_same_area_if_none` (samplers.py).
 */

import type { NetworkInputs } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { ConditioningEntry, ConditioningValue } from '../values/conditioning.ts';
import type { ControlValue } from '../values/control.ts';
import type { GroundedPhrases } from '../values/grounding.ts';
import type { HooksValue } from '../values/hooks.ts';
import type { ModelValue } from '../values/model.ts';
import { entryInputs, fitSize } from './entry-inputs.ts';
import type { RunShape } from './run-shape.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';

type Float32 = Tensor<'float32'>;

/** In latent elements. */
export interface Area {
  readonly height: number;
  readonly width: number;
  readonly top: number;
  readonly left: number;
}

/** An entry that is ready for a run. */
export interface Region {
  readonly inputs: NetworkInputs;
  readonly area: Area | undefined;
  /** [b, h, w] of the latent's size. */
  readonly mask: Float32 | undefined;
  readonly strength: number;
  readonly maskStrength: number;
  /** Active from `start` down to `end`; both ends included. */
  readonly start: number | undefined;
  readonly end: number | undefined;
  readonly control: ControlValue | undefined;
  /** What control networks see in place of the context. */
  readonly controlContext: Float32 | undefined;
  readonly gligen: GroundedPhrases | undefined;
  readonly hooks: HooksValue | undefined;
  /** Holds where the others of its prompt do not. */
  readonly isDefault: boolean;
}

function areaOf({ area }: ConditioningEntry, height: number, width: number): Area | undefined {
  if (!area) return undefined;
  if (area[0] === 'percentage') {
    const [, h, w, top, left] = area;
    return {
      height: Math.max(1, roundHalfEven(h * height)),
      width: Math.max(1, roundHalfEven(w * width)),
      top: roundHalfEven(top * height),
      left: roundHalfEven(left * width),
    };
  }
  const [h, w, top, left] = area as readonly [number, number, number, number];
  return { height: h, width: w, top, left };
}

/** The box around what a mask covers, at least 8 by 8. */
function boundsOf({ shape, data }: Float32): Area {
  const [, height = 1, width = 1] = shape;
  let [top, left, bottom, right] = [height, width, -1, -1];
  for (const [i, value] of data.entries()) {
    if (value === 0) continue;
    const [y, x] = [Math.floor((i % (height * width)) / width), i % width];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
  }
  if (bottom < 0) return { height: 8, width: 8, top: 0, left: 0 };
  return { height: Math.max(8, bottom - top + 1), width: Math.max(8, right - left + 1), top, left };
}

/** A mask [h, w], [b, h, w] or [b, 1, h, w] in the size of the latent, [b, h, w]. */
function maskOf(mask: Float32, height: number, width: number): Float32 {
  const [h = 1, w = 1] = mask.shape.slice(-2);
  const count = mask.data.length / (h * w);
  const sized = fitSize({ ...mask, shape: [count, 1, h, w] }, height, width);
  return { ...sized, shape: [count, height, width] };
}

async function regionOf(model: ModelValue, entry: ConditioningEntry, run: RunShape): Promise<Region> {
  const [, , height = 1, width = 1] = run.shape;
  const mask = entry.mask && maskOf(entry.mask, height, width);
  const { percentToSigma } = model.sampling;
  const { start_percent: start, end_percent: end } = entry;
  return {
    inputs: await entryInputs(model, entry, run),
    area: mask && entry.set_area_to_bounds ? boundsOf(mask) : areaOf(entry, height, width),
    mask,
    strength: entry.strength ?? 1,
    maskStrength: entry.mask_strength ?? 1,
    start: start === undefined ? undefined : percentToSigma(start),
    end: end === undefined ? undefined : percentToSigma(end),
    control: entry.control,
    controlContext: entry.cross_attn_controlnet,
    gligen: entry.gligen,
    hooks: entry.hooks,
    isDefault: entry.default ?? false,
  };
}

const isInside = (inner: Area, outer: Area): boolean =>
  inner.left >= outer.left &&
  inner.top >= outer.top &&
  inner.left + inner.width <= outer.left + outer.width &&
  inner.top + inner.height <= outer.top + outer.height;

const isSame = (a: Area, b: Area): boolean =>
  a.left === b.left && a.top === b.top && a.width === b.width && a.height === b.height;

/** For every area of one prompt the other gets its smallest enclosing entry in that area. Changes `regions`. */
function addCounterpart(regions: Region[], { area, ...other }: Region): void {
  if (!area) return;
  let smallest: Region | undefined;
  for (const region of regions) {
    if (region.area) {
      if (!isInside(area, region.area)) continue;
      const size = smallest?.area && smallest.area.width * smallest.area.height;
      if (size === undefined || size > region.area.height * region.area.width) smallest = region;
    } else smallest ??= region;
  }
  if (!smallest || (smallest.area && isSame(smallest.area, area))) return;
  const { inputs, controlContext } = smallest;
  regions.push({ ...other, area, inputs, controlContext });
}

/**
 * What whole entries of the positive prompt have goes to the whole entries of another prompt too, where none of them has its own: the last
 * one counts where there are more than the other prompt has entries. Changes `to`. After `apply_empty_x_to_equal_area`.
 */
function shareWith<K extends 'control' | 'gligen'>(key: K, from: readonly Region[], to: Region[]): void {
  const whole = [...to.entries()].filter(([, { area }]) => !area);
  const shared = from.flatMap((region) => (region.area ? [] : (region[key] ?? [])));
  if (whole.length === 0 || whole.some(([, region]) => region[key])) return;
  for (const [i, value] of shared.entries()) {
    const [at, region] = whole[i % whole.length] as [number, Region];
    to[at] = { ...region, [key]: value };
  }
}

/** The regions of both prompts of a run. */
export async function regionsOf(
  model: ModelValue,
  prompts: readonly ConditioningValue[],
  run: RunShape,
): Promise<readonly (readonly Region[])[]> {
  const all: Region[][] = [];
  for (const prompt of prompts) all.push(await Promise.all(prompt.map((entry) => regionOf(model, entry, run))));
  for (const [i, own] of all.entries())
    for (const region of [...own]) for (const [j, other] of all.entries()) if (i !== j) addCounterpart(other, region);
  const [first, ...others] = all;
  const controlled = first?.filter((_, i) => prompts[0]?.[i]?.control_apply_to_uncond) ?? [];
  for (const other of others) {
    shareWith('control', controlled, other);
    shareWith('gligen', first ?? [], other);
  }
  return all;
}

/** Whether an entry is active at a level. */
export const isActive = ({ start, end }: Region, sigma: number): boolean =>
  (start === undefined || sigma <= start) && (end === undefined || sigma >= end);

/** The part of a region that lies in the latent. */
export function croppedArea({ area }: Region, height: number, width: number): Area {
  if (!area) return { height, width, top: 0, left: 0 };
  return { ...area, height: Math.min(height - area.top, area.height), width: Math.min(width - area.left, area.width) };
}

/** Elements at each inner edge of an area over which its weight rises. */
const ramp = 8;

/** The weight of each element of an area, [b or 1, h, w]: the mask or a ramp at inner edges, times the strength. */
export function weightsOf(region: Region, at: Area, height: number, width: number): Float32 {
  const { mask, strength, maskStrength, area } = region;
  const size = at.height * at.width;
  const batch = mask?.shape[0] ?? 1;
  const data = new Float32Array(batch * size).fill(strength);
  if (mask) {
    for (let b = 0; b < batch; b++)
      for (let y = 0; y < at.height; y++)
        for (let x = 0; x < at.width; x++)
          data[b * size + y * at.width + x] =
            Math.fround((mask.data[(b * height + at.top + y) * width + at.left + x] as number) * maskStrength) *
            strength;
  } else if (area) {
    const rise = (i: number, length: number, from: number, whole: number): number => {
      const edge = Math.min(ramp, length >> 2);
      const low = from !== 0 && i < edge ? (i + 1) / edge : 1;
      const high = length + from < whole && i >= length - edge ? (length - i) / edge : 1;
      return low * high;
    };
    for (let y = 0; y < at.height; y++)
      for (let x = 0; x < at.width; x++)
        data[y * at.width + x] = Math.fround(
          strength * rise(y, at.height, at.top, height) * rise(x, at.width, at.left, width),
        );
  }
  return { dtype: 'float32', shape: [batch, at.height, at.width], data };
}
