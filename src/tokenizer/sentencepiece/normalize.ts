/** SentencePiece's normalisation of a text (normalizer.cc): replacements, then spaces folded, marked as `▁` and put in front. */

import type { Charsmap } from './charsmap.ts';
import type { NormalizerSettings } from './model-file.ts';
import { characterLength, longestPrefix, type PieceTree } from './pieces.ts';

const space = 0x20;
/** `▁` in UTF-8. */
const marker = [0xe2, 0x96, 0x81] as const;

/** What stands at `start`: a piece of the user's unchanged, a replacement, or the character itself. */
function normalizedAt(
  bytes: Uint8Array,
  start: number,
  charsmap: Charsmap | undefined,
  userDefined: PieceTree,
): { readonly length: number; readonly text: Uint8Array } {
  const own = longestPrefix(userDefined, bytes, start);
  if (own > 0) return { length: own, text: bytes.subarray(start, start + own) };
  const replaced = charsmap?.match(bytes, start);
  if (replaced) return { length: replaced.length, text: replaced.replacement };
  const length = characterLength(bytes, start);
  return { length, text: bytes.subarray(start, start + length) };
}

/** UTF-8 of the normalised text. */
export function normalizePieces(
  text: string,
  settings: NormalizerSettings,
  charsmap: Charsmap | undefined,
  userDefined: PieceTree,
): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const out: number[] = [];
  const mark: readonly number[] = settings.escapeWhitespaces ? marker : [space];
  const { removeExtraWhitespaces: folds, addDummyPrefix: adds, whitespaceAsSuffix: behind } = settings;
  let at = 0;
  while (folds && at < bytes.length) {
    const { length, text: own } = normalizedAt(bytes, at, charsmap, userDefined);
    if (own.length !== 1 || own[0] !== space) break;
    at += length;
  }
  if (at >= bytes.length) return new Uint8Array();
  if (adds && !behind) out.push(...mark);
  let afterSpace = folds;
  while (at < bytes.length) {
    const { length, text: own } = normalizedAt(bytes, at, charsmap, userDefined);
    let from = 0;
    while (afterSpace && own[from] === space) from++;
    if (from < own.length) {
      for (const byte of own.subarray(from))
        if (byte === space) out.push(...mark);
        else out.push(byte);
      afterSpace = own.at(-1) === space;
    }
    if (!folds) afterSpace = false;
    at += length;
  }
  const endsMarked = (): boolean => mark.every((byte, i) => out[out.length - mark.length + i] === byte);
  while (folds && out.length >= mark.length && endsMarked()) out.length -= mark.length;
  if (adds && behind) out.push(...mark);
  return Uint8Array.from(out);
}
