/**
 * Repair of mojibake: finds the encoding in which UTF-8 was misread, encodes the text in it and decodes it as UTF-8.
 *
 * The steps, and their order, are those of `fix_encoding` of ftfy 6.3.1, with its four subordinate repairs: no-break spaces that became
 * spaces, sequences with lost bytes, UTF-8 within text of another encoding, and control characters of Latin-1.
 */

import {
  CODE_PAGE_437,
  type CodePage,
  decodeByte,
  encodeBytes,
  ISO_8859_2,
  LATIN_1,
  latin1String,
  MAC_ROMAN,
  WINDOWS_1250,
  WINDOWS_1251,
  WINDOWS_1252,
  WINDOWS_1253,
  WINDOWS_1254,
  WINDOWS_1257,
} from './code-pages.ts';
import { isSuspect, UTF8_LOOKALIKE } from './mojibake-rules.ts';

/** The encodings, in the order of trial. */
const CODE_PAGES: readonly CodePage[] = [
  LATIN_1,
  WINDOWS_1252,
  WINDOWS_1251,
  WINDOWS_1250,
  WINDOWS_1253,
  WINDOWS_1254,
  WINDOWS_1257,
  ISO_8859_2,
  MAC_ROMAN,
  CODE_PAGE_437,
];

/** Returns the text with its mojibake repaired; other text is returned unchanged. */
export function repairMojibake(text: string): string {
  for (let current = text; ; ) {
    const repaired = repairOnce(current);
    if (repaired === current) return current;
    current = repaired;
  }
}

function repairOnce(text: string): string {
  if (isAscii(text) || !isSuspect(text)) return text;

  for (const page of CODE_PAGES) {
    const bytes = encodeBytes(page, text);
    const decoded = bytes === undefined ? undefined : decodeUtf8(restoreBytes(bytes, page));
    if (decoded !== undefined) return decoded;
  }

  const repaired = repairEmbedded(text);
  if (repaired !== text) return repaired;
  // The rest of ftfy's rules amounts to this: control characters of Latin-1 were meant to be Windows-1252.
  return replaceLatin1Controls(text);
}

/** Control characters of Latin-1 read as Windows-1252, as browsers do. */
export function replaceLatin1Controls(text: string): string {
  return text.replace(/[\x80-\x9f]/g, (control) => decodeByte(WINDOWS_1252, control.charCodeAt(0)));
}

function isAscii(text: string): boolean {
  return /^\p{ASCII}*$/u.test(text);
}

/** UTF-8 that lacks only an 0xa0, which became a space: the lead bytes with which that gives a likely character. */
const SPACED = new RegExp(
  [
    '[\xc2\xc3\xc5\xce\xd0\xd9] ',
    '[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]',
    '[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] ',
    '\xf0 [\x80-\xbf][\x80-\xbf]',
    '\xf0[\x80-\xbf] [\x80-\xbf]',
    '\xf0[\x80-\xbf][\x80-\xbf] ',
  ].join('|'),
  'g',
);

/** UTF-8 with lost bytes, shown as 0x1a or one question mark. */
const LOSSY = new RegExp(
  [
    '[\xc2-\xdf]\x1a',
    '[\xc2\xc3]\\?',
    '\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]',
    '\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]',
    '[\xe0-\xef][\x1a?][\x1a\x80-\xbf]',
    '[\xe0-\xef][\x1a\x80-\xbf][\x1a?]',
    '[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]',
    '[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]',
    '[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]',
    '\x1a',
  ].join('|'),
  'g',
);

/** `bytes` is a string of bytes. Puts back no-break spaces (not in Mac Roman, where an en dash and a space would look so) and marks losses. */
function restoreBytes(bytes: string, page: CodePage): string {
  let restored = bytes;
  if (page !== MAC_ROMAN && restored.search(SPACED) >= 0) {
    // "à" at the end of a word keeps its space, except in Portuguese "às", "àquele", "àquela", "àquilo".
    restored = restored
      .replace(/\xc3 (?! |quele|quela|quilo|s )/g, '\xc3\xa0 ')
      .replace(SPACED, (sequence) => sequence.replaceAll(' ', '\xa0'));
  }
  return page.sloppy ? restored.replace(LOSSY, '\xef\xbf\xbd') : restored;
}

/** Strict UTF-8 of a string of bytes, and the variants CESU-8 and Java's two-byte NUL; undefined where it is none. */
function decodeUtf8(bytes: string): string | undefined {
  const standard = /[\xc0\xed]/.test(bytes) ? standardUtf8(bytes) : bytes;
  const array = new Uint8Array(standard.length);
  for (let i = 0; i < array.length; i++) array[i] = standard.charCodeAt(i);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(array);
  } catch {
    return undefined;
  }
}

/** Pairs of surrogates in three bytes each become one sequence of four. A last line feed counts as the lost end of a sequence, as in ftfy. */
function standardUtf8(bytes: string): string {
  return bytes
    .replace(/\xc0(?:\x80|\n$)/g, '\0')
    .replace(/\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf](?:[\x80-\xbf]|\n$)/g, (six) => {
      const bits = (i: number, mask: number) => six.charCodeAt(i) & mask;
      const code = 0x10000 + (bits(1, 0x0f) << 16) + (bits(2, 0x3f) << 10) + (bits(4, 0x0f) << 6) + bits(5, 0x3f);
      return latin1String(new TextEncoder().encode(String.fromCodePoint(code)));
    });
}

/** Repairs each run that looks like UTF-8 by itself, where it is suspect and not the whole text. */
function repairEmbedded(text: string): string {
  return text.replace(UTF8_LOOKALIKE, (run) =>
    run.length < text.length && isSuspect(run) ? repairMojibake(run) : run,
  );
}
