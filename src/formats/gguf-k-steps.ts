/**
 * The step of a sub-block of GGUF's K types, and its elements in whole steps: of several tries that of the least weighted squared error
 * (`make_qx_quants`, `make_q3_quants`, `make_qkx2_quants` of ggml-quants.c). Every result is rounded to float32, as there.
 */

const round = Math.fround;

const bits = new Float32Array(1);
const asInteger = new Int32Array(bits.buffer);

/** The nearest whole number, halves to even; beyond 2^22 as the original's trick with the bits of a float32 gives it. */
export function nearestInteger(value: number): number {
  bits[0] = value + 12582912;
  return ((asInteger[0] as number) & 0x7fffff) - 0x400000;
}

const clamped = (value: number, least: number, most: number): number => Math.max(least, Math.min(most, value));

/** Sub-blocks with a least value of their own. */
export interface SubBlocks {
  readonly length: 16 | 32;
  /** The largest element in steps. */
  readonly last: number;
  /** Steps are tried for which the range is `last + first + i * change` steps, for i up to `tries`. */
  readonly first: number;
  readonly change: number;
  readonly tries: number;
  /** What an element's error counts by: its size (and errors by their size), or this and the root of the mean square (and errors squared). */
  readonly weights: 'size' | 'size over mean';
}

const weights = new Float32Array(32);
const tried = new Uint8Array(32);

function setWeights(values: Float32Array, from: number, { length, weights: rule }: SubBlocks): void {
  let mean = 0;
  if (rule === 'size over mean') {
    let sum = 0;
    for (let i = from; i < from + length; i++) sum = round(sum + round((values[i] as number) * (values[i] as number)));
    mean = round(Math.sqrt(round(sum / 32)));
  }
  for (let i = 0; i < length; i++) weights[i] = mean + Math.abs(values[from + i] as number);
}

interface Range {
  readonly least: number;
  readonly greatest: number;
  readonly sumWeights: number;
  readonly sumValues: number;
}

function rangeOf(values: Float32Array, from: number, length: number): Range {
  let least = values[from] as number;
  let greatest = least;
  let sumWeights = weights[0] as number;
  let sumValues = round(sumWeights * least);
  for (let i = 1; i < length; i++) {
    const value = values[from + i] as number;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
    const weight = weights[i] as number;
    sumWeights = round(sumWeights + weight);
    sumValues = round(sumValues + round(weight * value));
  }
  return { least: Math.min(least, 0), greatest, sumWeights, sumValues };
}

/** The weighted error of elements in `tried`, by a step and a least value. */
function errorOf(values: Float32Array, from: number, sub: SubBlocks, step: number, least: number): number {
  let error = 0;
  for (let i = 0; i < sub.length; i++) {
    const off = round(round(round(step * (tried[i] as number)) + least) - (values[from + i] as number));
    const size = sub.weights === 'size' ? Math.abs(off) : round(off * off);
    error = round(error + round((weights[i] as number) * size));
  }
  return error;
}

interface Offset {
  readonly step: number;
  /** The least value, negated; at least 0. */
  readonly minimum: number;
}

/** The step and least value that fit the elements in `tried` best; undefined where there is no one answer. */
function fitted(values: Float32Array, from: number, length: number, range: Range): [number, number] | undefined {
  let [sumL, sumL2, sumXL] = [0, 0, 0];
  for (let i = 0; i < length; i++) {
    const l = tried[i] as number;
    const product = round((weights[i] as number) * l);
    sumL = round(sumL + product);
    sumL2 = round(sumL2 + round(product * l));
    sumXL = round(sumXL + round(product * (values[from + i] as number)));
  }
  const { sumWeights, sumValues } = range;
  const determinant = round(round(sumWeights * sumL2) - round(sumL * sumL));
  if (!(determinant > 0)) return undefined;
  const step = round(round(round(sumWeights * sumXL) - round(sumValues * sumL)) / determinant);
  const least = round(round(round(sumL2 * sumValues) - round(sumL * sumXL)) / determinant);
  return least > 0 ? [round(sumXL / sumL2), 0] : [step, least];
}

/** Steps of `make_qkx2_quants`: elements from 0 to `last` to `quants` at `to`. */
export function offsetStep(values: Float32Array, from: number, sub: SubBlocks, quants: Uint8Array, to: number): Offset {
  const { length, last } = sub;
  setWeights(values, from, sub);
  const range = rangeOf(values, from, length);
  let { least } = range;
  if (range.greatest === least) {
    quants.fill(0, to, to + length);
    return { step: 0, minimum: -least };
  }
  const attempt = (factor: number): void => {
    for (let i = 0; i < length; i++)
      tried[i] = clamped(nearestInteger(round(factor * round((values[from + i] as number) - least))), 0, last);
  };
  const keep = (): void => quants.set(tried.subarray(0, length), to);
  const factor = round(last / round(range.greatest - least));
  let step = round(1 / factor);
  attempt(factor);
  keep();
  let best = errorOf(values, from, sub, step, least);
  for (let i = 0; i <= sub.tries; i++) {
    // By the least value that is best so far.
    const steps = round(round(round(sub.first) + round(round(sub.change) * i)) + last);
    attempt(round(steps / round(range.greatest - least)));
    const found = fitted(values, from, length, range);
    if (!found) continue;
    const error = errorOf(values, from, sub, ...found);
    if (!(error < best)) continue;
    keep();
    best = error;
    [step, least] = found;
  }
  return { step, minimum: -least };
}

/** The value of the largest size, the first of equal ones. */
function extreme(values: Float32Array, from: number): number {
  let found = 0;
  for (let i = from; i < from + 16; i++)
    if (Math.abs(values[i] as number) > Math.abs(found)) found = values[i] as number;
  return found;
}

const nearZero = round(1e-15);

interface Sums {
  /** Of w x l, and of w l². */
  readonly lx: number;
  readonly l2: number;
}

/** Sums over 16 elements in steps, weighted by their squares. `set` gets each. */
function sumsOf(
  values: Float32Array,
  from: number,
  factor: number,
  half: number,
  set?: (i: number, l: number) => void,
): Sums {
  let [lx, l2] = [0, 0];
  for (let i = 0; i < 16; i++) {
    const value = values[from + i] as number;
    const l = clamped(nearestInteger(round(factor * value)), -half, half - 1);
    set?.(i, l);
    const weight = round(value * value);
    lx = round(lx + round(round(weight * value) * l));
    l2 = round(l2 + round(round(weight * l) * l));
  }
  return { lx, l2 };
}

/** Steps of Q6_K (`make_qx_quants`): elements from 0 to 63 to `quants` at `to`, 32 being zero. */
export function symmetricStep(values: Float32Array, from: number, quants: Uint8Array, to: number): number {
  const largest = extreme(values, from);
  if (Math.abs(largest) < nearZero) {
    quants.fill(0, to, to + 16);
    return 0;
  }
  const set = (i: number, l: number): void => {
    quants[to + i] = l + 32;
  };
  const first = sumsOf(values, from, round(-32 / largest), 32, set);
  let step = first.l2 === 0 ? 0 : round(first.lx / first.l2);
  let best = round(step * first.lx);
  for (let i = -9; i <= 9; i++) {
    if (i === 0) continue;
    const factor = round(-round(32 + round(round(0.1) * i)) / largest);
    const { lx, l2 } = sumsOf(values, from, factor, 32);
    if (!(l2 > 0 && round(lx * lx) > round(best * l2))) continue;
    sumsOf(values, from, factor, 32, set);
    step = round(lx / l2);
    best = round(step * lx);
  }
  return step;
}

const signed = new Int8Array(16);

/** One pass of `make_q3_quants`: moves each element where that lessens the error. Gives the sums, and whether one moved. */
function improved(values: Float32Array, from: number, { lx, l2 }: Sums): Sums & { readonly changed: boolean } {
  let changed = false;
  for (let i = 0; i < 16; i++) {
    const value = values[from + i] as number;
    const weight = round(value * value);
    const old = signed[i] as number;
    let ownLx = round(lx - round(round(weight * value) * old));
    if (!(ownLx > 0)) continue;
    let ownL2 = round(l2 - round(round(weight * old) * old));
    const next = clamped(nearestInteger(round(round(value * ownL2) / ownLx)), -4, 3);
    if (next === old) continue;
    ownLx = round(ownLx + round(round(weight * value) * next));
    ownL2 = round(ownL2 + round(round(weight * next) * next));
    const isBetter = ownL2 > 0 && round(round(ownLx * ownLx) * l2) > round(round(lx * lx) * ownL2);
    if (!isBetter) continue;
    signed[i] = next;
    [lx, l2, changed] = [ownLx, ownL2, true];
  }
  return { lx, l2, changed };
}

/** Steps of Q3_K: elements from 0 to 7 to `quants` at `to`, 4 being zero. */
export function movedStep(values: Float32Array, from: number, quants: Uint8Array, to: number): number {
  const largest = extreme(values, from);
  if (Math.abs(largest) < nearZero) {
    quants.fill(0, to, to + 16);
    return 0;
  }
  let sums: Sums = sumsOf(values, from, round(-4 / largest), 4, (i, l) => {
    signed[i] = l;
  });
  for (let i = 0; i < 5; i++) {
    const pass = improved(values, from, sums);
    sums = pass;
    if (!pass.changed) break;
  }
  for (let i = 0; i < 16; i++) quants[to + i] = (signed[i] as number) + 4;
  return sums.l2 > 0 ? round(sums.lx / sums.l2) : 0;
}
