/**
 * SHA-256 in plain arithmetic (FIPS 180-4, section 6.2): for pages on http under a name that is not localhost, where browsers have no
 * `crypto.subtle`. The constants are the first bits of the fractional parts of the square and cube roots of the first primes (4.2.2, 5.3.3).
 */

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}

const fraction = (root: number): number => (root - Math.floor(root)) * 2 ** 32;
const primes = firstPrimes(64);
const roundConstants = Uint32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
const start = Uint32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

const rotate = (x: number, by: number): number => (x >>> by) | (x << (32 - by));

/** One block of 64 bytes into the state (6.2.2). */
function addBlock(state: Uint32Array, block: DataView, w: Uint32Array): void {
  for (let t = 0; t < 64; t++) {
    if (t < 16) {
      w[t] = block.getUint32(4 * t);
      continue;
    }
    const [a = 0, b = 0, c = 0, d = 0] = [w[t - 15], w[t - 2], w[t - 16], w[t - 7]];
    const small0 = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
    const small1 = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
    w[t] = small1 + d + small0 + c;
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let t = 0; t < 64; t++) {
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + sum1 + ((e & f) ^ (~e & g)) + (roundConstants[t] ?? 0) + (w[t] ?? 0)) | 0;
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
  }
  for (const [i, value] of [a, b, c, d, e, f, g, h].entries()) state[i] = (state[i] ?? 0) + value;
}

/** 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  const state = Uint32Array.from(start);
  const w = new Uint32Array(64);
  const whole = bytes.length - (bytes.length % 64);
  for (let at = 0; at < whole; at += 64) addBlock(state, new DataView(bytes.buffer, bytes.byteOffset + at, 64), w);
  // The rest, a 1 bit, zeros, and the length in bits as 64 bits.
  const rest = bytes.length - whole;
  const end = new DataView(new ArrayBuffer(rest < 56 ? 64 : 128));
  new Uint8Array(end.buffer).set(bytes.subarray(whole));
  end.setUint8(rest, 0x80);
  end.setBigUint64(end.byteLength - 8, 8n * BigInt(bytes.length));
  for (let at = 0; at < end.byteLength; at += 64) addBlock(state, new DataView(end.buffer, at, 64), w);
  const result = new DataView(new ArrayBuffer(32));
  for (const [i, value] of state.entries()) result.setUint32(4 * i, value);
  return new Uint8Array(result.buffer);
}
