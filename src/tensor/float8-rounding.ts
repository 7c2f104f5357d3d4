/** Rounding to 8-bit floating-point numbers (Micikevicius et al. 2022, "FP8 Formats for Deep Learning", arXiv 2209.05433), ties to even, as PyTorch. */

import { roundHalfEven } from './round-half-even.ts';

const formats = {
  float8_e4m3fn: { mantissa: 3, lowestExponent: -6, largest: 448, beyond: 448 },
  float8_e5m2: { mantissa: 2, lowestExponent: -14, largest: 57344, beyond: Number.POSITIVE_INFINITY },
} as const;

/** The nearest number that the format holds; beyond its largest one that one (E4M3, which has no infinities) or an infinity (E5M2). */
export function roundToFloat8(value: number, dtype: keyof typeof formats): number {
  const { mantissa, lowestExponent, largest, beyond } = formats[dtype];
  if (value === 0 || Number.isNaN(value)) return value;
  const exponent = Math.max(lowestExponent, Math.floor(Math.log2(Math.abs(value))));
  const unit = 2 ** (exponent - mantissa);
  const rounded = roundHalfEven(value / unit) * unit;
  return Math.abs(rounded) > largest ? Math.sign(value) * beyond : rounded;
}
