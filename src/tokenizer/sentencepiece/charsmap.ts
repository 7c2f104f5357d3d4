/**
 * SentencePiece's `precompiled_charsmap`: replacements of byte sequences, in a double array (Aoe 1989, as darts-clone lays it out) and the
 * texts that it points to, each ended by a zero byte.
 */

import { StableDiffusionError } from '../../errors.ts';

export interface Charsmap {
  /** The longest replacement at `start`: how many bytes it takes, and what they become. Undefined where none begins there. */
  match(bytes: Uint8Array, start: number): { readonly length: number; readonly replacement: Uint8Array } | undefined;
}

const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
const labelOf = (unit: number): number => unit & 0x8000_00ff;

/** Throws `file-corrupt` where sizes do not fit. */
export function readCharsmap(blob: Uint8Array, label: string): Charsmap {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const size = blob.length >= 4 ? view.getUint32(0, true) : 0;
  if (size === 0 || size % 4 !== 0 || 4 + size > blob.length)
    throw new StableDiffusionError(
      'file-corrupt',
      `${label}: the table of replacements states ${size} bytes of a double array, and has ${blob.length}.`,
    );
  const units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const texts = blob.subarray(4 + size);
  return {
    match(bytes, start) {
      let node = offsetOf(units[0] ?? 0);
      let found: { length: number; value: number } | undefined;
      for (let at = start; at < bytes.length; at++) {
        const byte = bytes[at] as number;
        node ^= byte;
        const unit = units[node];
        if (unit === undefined || labelOf(unit) !== byte) break;
        node ^= offsetOf(unit);
        if ((unit >>> 8) & 1) found = { length: at - start + 1, value: (units[node] ?? 0) & 0x7fff_ffff };
      }
      if (!found) return undefined;
      const end = texts.indexOf(0, found.value);
      return { length: found.length, replacement: texts.subarray(found.value, end < 0 ? texts.length : end) };
    },
  };
}
