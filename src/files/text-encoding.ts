/** Texts of people's files: UTF-8, or UTF-16 by its byte order mark, as Windows' editors and PowerShell save it. */

import { StableDiffusionError } from '../errors.ts';

type TextEncoding = 'utf-8' | 'utf-16le' | 'utf-16be';

/** The encoding that a text's first bytes tell. */
export function encodingOf([a, b]: Uint8Array): TextEncoding {
  return a === 0xff && b === 0xfe ? 'utf-16le' : a === 0xfe && b === 0xff ? 'utf-16be' : 'utf-8';
}

/** The text of bytes, without a byte order mark; undefined if they are neither UTF-8 nor, by their mark, UTF-16. `isCut`: it may end within a character. */
export function decodeText(bytes: Uint8Array, isCut = false): string | undefined {
  try {
    const text = new TextDecoder(encodingOf(bytes), { fatal: true }).decode(bytes, { stream: isCut });
    // UTF-16 without its mark, and UTF-32, are valid too, with a zero beside each letter.
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}

export const notUtf8 = (path: string): StableDiffusionError =>
  new StableDiffusionError('file-corrupt', `${path} is not UTF-8. Save it as UTF-8.`);

/** As `decodeText`. Throws `file-corrupt`, naming the file. */
export function textOf(bytes: Uint8Array, path: string): string {
  const text = decodeText(bytes);
  if (text === undefined) throw notUtf8(path);
  return text;
}
