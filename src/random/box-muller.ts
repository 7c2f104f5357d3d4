/**
 * PyTorch's Box–Muller transform of sixteen uniforms (ATen `NormalFill16`): eight radii from the first half, eight angles from the
 * second; cosines go to the first half, sines to the second.
 *
 * PyTorch has two float32 forms, and they differ in the last bits. On x86 with AVX2 or AVX-512 the logarithm, sine and cosine are
 * those of Cephes in single precision, which the compiler contracts into fused multiply-adds. Everywhere else (ARM, or
 * ATEN_CPU_CAPABILITY=default) they are libm's `logf`, `sinf`, `cosf`. Both are followed operation for operation. The first uses
 * nothing but IEEE arithmetic, so that it gives the same bits in every JavaScript engine.
 */

/** PyTorch's float32 transform to follow: `avx2` (any x86 of the last decade) or `default` (others). */
export type CpuCapability = 'avx2' | 'default';

const f = Math.fround;
const scratch = new Float32Array(1);
const bits = new Uint32Array(scratch.buffer);

const TWO_PI = f(2 * Math.PI);
const SQRT_HALF = f(Math.SQRT1_2);
const LOG_P0 = f(7.0376836292e-2);
const LOG_P1 = f(-1.151461031e-1);
const LOG_P2 = f(1.167699874e-1);
const LOG_P3 = f(-1.2420140846e-1);
const LOG_P4 = f(1.4249322787e-1);
const LOG_P5 = f(-1.6668057665e-1);
const LOG_P6 = f(2.0000714765e-1);
const LOG_P7 = f(-2.4999993993e-1);
const LOG_P8 = f(3.3333331174e-1);
const LOG_LOW = f(-2.1219444e-4);
const LOG_HIGH = 0.693359375;
const FOUR_OVER_PI = f(4 / Math.PI);
const PI_4_HIGH = -0.78515625;
const PI_4_MIDDLE = f(-2.4187564849853516e-4);
const PI_4_LOW = f(-3.774894977445941e-8);
const SIN_P0 = f(-1.9515295891e-4);
const SIN_P1 = f(8.3321608736e-3);
const SIN_P2 = f(-1.6666654611e-1);
const COS_P0 = f(2.443315711809948e-5);
const COS_P1 = f(-1.388731625493765e-3);
const COS_P2 = f(4.166664568298827e-2);

/** Cephes `logf` for x in (0, 1]. A product of two float32 is exact in a double, so `f(a * b + c)` is a fused multiply-add. */
function logCephes(value: number): number {
  scratch[0] = value;
  const word = bits[0] as number;
  bits[0] = (word & 0x007fffff) | 0x3f000000;
  let x = scratch[0] as number;
  let exponent = (word >>> 23) - 126;
  if (x < SQRT_HALF) {
    exponent -= 1;
    x = f(f(x - 1) + x);
  } else x = f(x - 1);
  const square = f(x * x);
  let y = f(LOG_P0 * x + LOG_P1);
  y = f(y * x + LOG_P2);
  y = f(y * x + LOG_P3);
  y = f(y * x + LOG_P4);
  y = f(y * x + LOG_P5);
  y = f(y * x + LOG_P6);
  y = f(y * x + LOG_P7);
  y = f(y * x + LOG_P8);
  y = f(y * x);
  y = f(y * square + f(exponent * LOG_LOW));
  y = f(y - f(square * 0.5));
  return f(exponent * LOG_HIGH + f(x + y));
}

function fill16Avx2(data: Float32Array, start: number, mean: number, std: number): void {
  for (let i = start; i < start + 8; i++) {
    const radius = f(Math.sqrt(f(-2 * logCephes(f(1 - (data[i] as number))))));
    const theta = f(TWO_PI * (data[i + 8] as number));

    // Cephes sincosf: reduce by the nearest even octant, two polynomials, swapped and negated by the octant.
    const octant = (Math.trunc(f(theta * FOUR_OVER_PI)) + 1) & ~1;
    let x = f(octant * PI_4_HIGH + theta);
    x = f(octant * PI_4_MIDDLE + x);
    x = f(octant * PI_4_LOW + x);
    const square = f(x * x);
    let cosine = f(COS_P0 * square + COS_P1);
    cosine = f(cosine * square + COS_P2);
    cosine = f(cosine * square);
    cosine = f(f(cosine * square - f(square * 0.5)) + 1);
    let sine = f(SIN_P0 * square + SIN_P1);
    sine = f(sine * square + SIN_P2);
    sine = f(sine * square);
    sine = f(sine * x + x);
    const swap = (octant & 2) !== 0;
    const y = octant & 4 ? -(swap ? cosine : sine) : swap ? cosine : sine;
    const z = ~(octant - 2) & 4 ? -(swap ? sine : cosine) : swap ? sine : cosine;

    data[i] = f(f(radius * z) * std + mean);
    data[i + 8] = f(f(radius * y) * std + mean);
  }
}

function fill16Default(data: Float32Array, start: number, mean: number, std: number): void {
  for (let i = start; i < start + 8; i++) {
    const radius = f(Math.sqrt(f(-2 * f(Math.log(f(1 - (data[i] as number)))))));
    const theta = f(2 * Math.PI * (data[i + 8] as number));
    data[i] = f(f(radius * f(Math.cos(theta))) * std + mean);
    data[i + 8] = f(f(radius * f(Math.sin(theta))) * std + mean);
  }
}

/** Turns the sixteen uniforms at `start` into normals, in place, as PyTorch does in float32. */
export function normalFill16(
  data: Float32Array,
  start: number,
  mean: number,
  std: number,
  capability: CpuCapability,
): void {
  if (capability === 'avx2') fill16Avx2(data, start, f(mean), f(std));
  else fill16Default(data, start, f(mean), f(std));
}

/** The float64 transform, of which PyTorch has only one form (libm). */
export function normalFill16Float64(data: Float64Array, start: number, mean: number, std: number): void {
  for (let i = start; i < start + 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - (data[i] as number)));
    const theta = 2 * Math.PI * (data[i + 8] as number);
    data[i] = radius * Math.cos(theta) * std + mean;
    data[i + 8] = radius * Math.sin(theta) * std + mean;
  }
}
