/**
 * The natural logarithm of a double, rounded to nearest: Math.log is some 1 ulp off and differs between JavaScript engines, which
 * would show in draws that are compared bit for bit with Python's C library (itself within 0.52 ulp of this).
 *
 * log x = k log 2 + 2 atanh((m - 1) / (m + 1)) with x = 2^k m, the leading terms of the series as sums of two doubles (Dekker 1971).
 */

const LN2_HIGH = 0.6931471803691238; // its low 32 bits are zero, so that k * LN2_HIGH is exact
const LN2_LOW = 1.9082149292705877e-10;

/** log(x) for a finite x > 0. */
export function roundedLog(x: number): number {
  // x = 2^k m with m in [sqrt(1/2), sqrt 2): log x = k log 2 + log m.
  let k = Math.round(Math.log2(x));
  let m = x / 2 ** k;
  if (m < Math.SQRT1_2) {
    m *= 2;
    k -= 1;
  } else if (m > Math.SQRT2) {
    m /= 2;
    k += 1;
  }
  // log m = 2 atanh(s), s = (m - 1) / (m + 1), as s + sLow in double-double.
  const above = m - 1; // exact
  const below = m + 1;
  const belowLow = above >= 0 ? 1 - (below - m) : m - (below - 1);
  const s = above / below;
  const sLow = (remainder(above, s, below) - s * belowLow) / below;
  const square = s * s;
  // The series after its first term, in plain doubles where it is below 2^-5 of the whole; its head in double-double.
  const tail = tailOf(square);
  const [cubeHigh, cubeLow] = timesTwo(square, productError(s, s, square) + 2 * s * sLow, s, sLow);
  const thirdHigh = cubeHigh / 3;
  const thirdLow = (remainder(cubeHigh, thirdHigh, 3) + cubeLow) / 3;
  const [sumHigh, sumLow] = addTwo(s, sLow, thirdHigh, thirdLow + cubeHigh * square * tail);
  const [high, low] = addTwo(k * LN2_HIGH, k * LN2_LOW, 2 * sumHigh, 2 * sumLow);
  return high + low;
}

/** 1/5 + z/7 + z^2/9 + … for z up to 0.0295. */
function tailOf(z: number): number {
  let sum = 0;
  for (let n = 27; n >= 5; n -= 2) sum = sum * z + 1 / n;
  return sum;
}

function split(a: number): [high: number, low: number] {
  const scaled = 134217729 * a;
  const high = scaled - (scaled - a);
  return [high, a - high];
}

/** a * b - product, exactly (Dekker 1971). */
function productError(a: number, b: number, product: number): number {
  const [aHigh, aLow] = split(a);
  const [bHigh, bLow] = split(b);
  return aHigh * bHigh - product + aHigh * bLow + aLow * bHigh + aLow * bLow;
}

/** a - q * b where q is a / b rounded. */
function remainder(a: number, q: number, b: number): number {
  const product = q * b;
  return a - product - productError(q, b, product);
}

function timesTwo(aHigh: number, aLow: number, bHigh: number, bLow: number): [number, number] {
  const product = aHigh * bHigh;
  return [product, productError(aHigh, bHigh, product) + aHigh * bLow + aLow * bHigh];
}

function addTwo(aHigh: number, aLow: number, bHigh: number, bLow: number): [number, number] {
  const sum = aHigh + bHigh;
  const part = sum - aHigh;
  const error = aHigh - (sum - part) + (bHigh - part) + aLow + bLow;
  const high = sum + error;
  return [high, error - (high - sum)];
}
