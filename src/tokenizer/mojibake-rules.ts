/**
 * Detects mojibake: text in UTF-8 that was read in a single-byte encoding.
 *
 * The rules are those of ftfy 6.3.1 (`ftfy.badness` and `UTF8_DETECTOR_RE` of `ftfy.chardata`, Robyn Speer, Apache License 2.0), written
 * as a table: classes of characters, and sequences of classes that do not occur in intended text.
 */

import {
  type CodePage,
  decodeByte,
  LATIN_1,
  WINDOWS_1250,
  WINDOWS_1251,
  WINDOWS_1252,
  WINDOWS_1253,
  WINDOWS_1254,
  WINDOWS_1257,
} from './code-pages.ts';
import { PYTHON_SPACE } from './unicode-text.ts';

/** Characters that occur in mojibake, by the part they play in ordinary text. Bodies of character classes. */
const COMMON = '\\xa0\\xad·´–—―…’';
const CONTROL = '\\x80-\\x9f';
const BAD = '¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\\ufffdªº';
const LAW = '¶§';
const CURRENCY = '¢£¥₧€';
const START = '¡«¿©΄΅‘‚“„•‹\\uf8ff';
const END = '®»˝”›™';
const NUMERIC = '²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№';
const KAOMOJI = 'Ò-ÖÙ-Üò-öø-üŐŌŪŲ°';
const UPPER_ACCENTED = 'À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ';
const LOWER_ACCENTED = 'ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ';
const UPPER_COMMON = 'ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я';
const LOWER_COMMON = 'α-ωάέήίΰа-џ';
const BOX = '│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓';

const ACCENTED = LOWER_ACCENTED + UPPER_ACCENTED;
const SYMBOLS = BOX + START + END + CURRENCY + NUMERIC + LAW;
const ARABIC_TAIL = `${COMMON}${CURRENCY}${BAD}${NUMERIC}${START}ŸŠ®°µ»`;
const SPACE = ' ';
const LATIN = 'A-Za-z';

/** Each row is a sequence of character classes; text that contains one is suspect. */
const SEQUENCES: readonly (readonly string[])[] = [
  [CONTROL],
  [BAD + ACCENTED + SYMBOLS, BAD],
  [LATIN, LOWER_COMMON + UPPER_COMMON, BAD],
  [BAD, ACCENTED + SYMBOLS],
  [LOWER_ACCENTED + LOWER_COMMON + BOX + END + CURRENCY + NUMERIC, UPPER_ACCENTED],
  [BOX + END + CURRENCY + NUMERIC, LOWER_ACCENTED],
  [LOWER_ACCENTED + BOX + END, CURRENCY],
  [PYTHON_SPACE, UPPER_ACCENTED, CURRENCY],
  [UPPER_ACCENTED + BOX, NUMERIC + LAW],
  [ACCENTED + BOX + CURRENCY + END, START, NUMERIC],
  [ACCENTED + CURRENCY + NUMERIC + BOX + LAW, END, START],
  [CURRENCY + NUMERIC + BOX, START],
  ['a-z', UPPER_ACCENTED, START + CURRENCY],
  [BOX, KAOMOJI],
  [ACCENTED + CURRENCY + NUMERIC + START + END + LAW, BOX],
  [BOX, END],
  [ACCENTED, START + END, '\\p{L}\\p{N}_'],
  ['Œœ', `^${LATIN}`],
  [UPPER_ACCENTED, '°'],
  // UTF-8 of Latin-1 letters, Greek and Cyrillic in Windows-1252
  ['ÂÃÎÐ', `€œŠš¢£Ÿž\\xa0\\xad®©°·»${START}${END}–—´`],
  ['×', '²³'],
  // Arabic in Windows-1252: four characters, because single pairs are common
  ['ØÙ', ARABIC_TAIL, 'ØÙ', ARABIC_TAIL],
  // scripts of South Asia in Windows-1252
  ['à', '²µ¹¼½¾'],
  // Mac Roman
  ['√', '±∂†≠®™´≤≥¥µø'],
  ['≈', '°¢'],
  ['‚', 'Ä', 'ìîïòôúùû†°¢π'],
  ['‚', 'âó', 'àä°ê'],
  // punctuation, Latin-1 and Cyrillic in Windows-1251, once and twice
  ['в', 'Ђ'],
  ['ВГРС', `${CONTROL}${BAD}${START}${END}${CURRENCY}°µ`, 'ВГРС'],
  ['Г', 'ў', 'В', 'Ђ', 'В', '^\\n', `${LATIN}${SPACE}`],
  // à, á and the no-break space in Windows-1252
  ['Ã', '\\xa0¡'],
  ['a-z', 'ÃÂ', SPACE],
  ['a-z', PYTHON_SPACE, 'ÃÂ', SPACE],
  [`a-z.,?!${END}`, 'Â', `${SPACE}${START}${END}`],
  // punctuation, Latin-1 and Greek in Windows-1253
  ['β', '€', '™\\xa0Ά\\xad®°'],
  ['ΒΓΞΟ', `${CONTROL}${BAD}${START}${END}${CURRENCY}°`, 'ΒΓΞΟ'],
  // punctuation in Windows-1257
  ['ā', '€'],
];

const SUSPECT = new RegExp(
  `^[ÃÂ] |${SEQUENCES.map((sequence) => sequence.map((members) => `[${members}]`).join('')).join('|')}`,
  'u',
);

/** True if the text contains a sequence that hardly occurs outside mojibake. */
export function isSuspect(text: string): boolean {
  return SUSPECT.test(text);
}

const LATIN_LIKE: readonly CodePage[] = [
  LATIN_1,
  WINDOWS_1252,
  WINDOWS_1251,
  WINDOWS_1250,
  WINDOWS_1253,
  WINDOWS_1254,
  WINDOWS_1257,
];

/** Class of the characters that the bytes represent in any encoding akin to Latin-1. */
function lettersOf(...ranges: readonly (readonly [number, number])[]): string {
  const letters = new Set<string>();
  for (const page of LATIN_LIKE) {
    for (const [first, last] of ranges)
      for (let byte = first; byte <= last; byte++) letters.add(decodeByte(page, byte));
  }
  return [...letters].join('');
}

const LEAD_OF_2 = lettersOf([0xc2, 0xdf]);
const LEAD_OF_3 = lettersOf([0xe0, 0xef]);
const LEAD_OF_4 = lettersOf([0xf0, 0xf0], [0xf3, 0xf3]);
const TAIL = lettersOf([0x80, 0xbf]);
/** Without punctuation that also occurs unchanged next to mojibake. */
const TAIL_ONLY = TAIL.replace(/[–—―‘’‚“”„•…]/g, '');

/** Runs of characters that look like the bytes of UTF-8; a space may be a lost no-break space. */
export const UTF8_LOOKALIKE = new RegExp(
  `(?<![${TAIL_ONLY}])(?:[${LEAD_OF_2}][${TAIL} ]|[${LEAD_OF_3}][${TAIL} ]{2}|[${LEAD_OF_4}][${TAIL} ]{3})+`,
  'gu',
);
