/** CIE L*a*b* of sRGB colours under D65, and back, with kornia's factors. Colours are triples in one array, RGB in 0…1. */

const white = [0.95047, 1, 1.08883] as const;
const toXyz = [0.412453, 0.35758, 0.180423, 0.212671, 0.71516, 0.072169, 0.019334, 0.119193, 0.950227] as const;
const toRgb = [
  3.2404813432005266, -1.5371515162713185, -0.4985363261688878, -0.9692549499965682, 1.8759900014898907,
  0.0415559265582928, 0.0556466391351772, -0.2040413383665112, 1.0573110696453443,
] as const;

const linear = (value: number): number => (value > 0.04045 ? ((value + 0.055) / 1.055) ** 2.4 : value / 12.92);
const gamma = (value: number): number => (value > 0.0031308 ? 1.055 * value ** (1 / 2.4) - 0.055 : 12.92 * value);
const root = (value: number): number => (value > 0.008856 ? Math.cbrt(value) : 7.787 * value + 4 / 29);
const cube = (value: number): number => (value > 0.2068966 ? value ** 3 : (value - 4 / 29) / 7.787);

type Triple = [number, number, number];

const times = (m: ArrayLike<number>, [x, y, z]: Triple): Triple =>
  [0, 3, 6].map((row) => (m[row] as number) * x + (m[row + 1] as number) * y + (m[row + 2] as number) * z) as Triple;

function mapped(data: ArrayLike<number>, change: (color: Triple) => Triple): Float32Array {
  const out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i += 3)
    out.set(change([data[i] as number, data[i + 1] as number, data[i + 2] as number]), i);
  return out;
}

/** L in 0…100. */
export const rgbToLab = (rgb: ArrayLike<number>): Float32Array =>
  mapped(rgb, (color) => {
    const xyz = times(toXyz, color.map(linear) as Triple);
    const [x, y, z] = xyz.map((value, i) => root(value / (white[i] as number))) as Triple;
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
  });

/** Cut to 0…1. */
export const labToRgb = (lab: ArrayLike<number>): Float32Array =>
  mapped(lab, ([l, a, b]) => {
    const y = (l + 16) / 116;
    const xyz = [a / 500 + y, y, Math.max(0, y - b / 200)].map(
      (value, i) => cube(value) * (white[i] as number),
    ) as Triple;
    return times(toRgb, xyz).map((value) => Math.min(1, Math.max(0, gamma(value)))) as Triple;
  });
