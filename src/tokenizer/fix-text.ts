/**
 * The first normalisation step of OpenAI's CLIP: `ftfy.fix_text` of ftfy 6.3.1 (https://ftfy.readthedocs.io) with its defaults.
 *
 * Line by line: HTML entities, mojibake, then the table of replacements below and NFC, all repeated until nothing changes.
 */

import { unescapeTerminatedHtml } from './html-entities.ts';
import { repairMojibake, replaceLatin1Controls } from './mojibake.ts';
import { normalize, replaceLoneSurrogates } from './unicode-text.ts';

interface Rule {
  readonly name: string;
  readonly apply: (text: string) => string;
}

const TERMINAL_ESCAPE = /\x1b\[[\p{Nd};]*[a-zA-Z]/gu;
const CONTROL = /[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g;

/** Applied in this order. */
const RULES: readonly Rule[] = [
  { name: 'control characters of Latin-1', apply: replaceLatin1Controls },
  {
    name: 'ligatures of Latin letters',
    apply: (text) =>
      text.replace(/[Ĳĳŉ\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06]/g, (ligature) =>
        ligature === 'ﬅ' ? 'ſt' : ligature.normalize('NFKC'),
      ),
  },
  {
    name: 'full and half width',
    apply: (text) => text.replace(/[\u3000\uff01-\uffef]/g, (wide) => wide.normalize('NFKC')),
  },
  { name: 'curly double quotes', apply: (text) => text.replace(/[\u201c-\u201f]/g, '"') },
  { name: 'curly single quotes', apply: (text) => text.replace(/[\u02bc\u2018-\u201b]/g, "'") },
  { name: 'line breaks', apply: (text) => text.replace(/\r\n|[\r\u2028\u2029\x85]/g, '\n') },
  { name: 'surrogates', apply: replaceLoneSurrogates },
  { name: 'terminal escapes', apply: (text) => text.replace(TERMINAL_ESCAPE, '') },
  { name: 'control characters', apply: (text) => text.replace(CONTROL, '') },
  { name: 'composition', apply: (text) => normalize(text, 'NFC') },
];

/** Code points of a segment: longer lines are cut there. */
const MAX_SEGMENT = 1_000_000;

/**
 * Ordinary text settles in two or three rounds. Text that sheds one layer a round (`&#1&#1&#1;;;`) would take quadratic time, so beyond
 * `MIN_ROUNDS` it stays unchanged once the rounds have read `MAX_WORK` characters.
 */
const MIN_ROUNDS = 32;
const MAX_WORK = 5_000_000;

/** Returns the text with its glitches fixed. Never throws. */
export function fixText(text: string): string {
  let entities = true;
  let fixed = '';
  for (const segment of segments(text)) {
    // If there may be a tag, the text is taken to contain entities from there to the end.
    if (segment.includes('<')) entities = false;
    fixed += fixSegment(segment, entities);
  }
  return fixed;
}

/** Lines with their line feed, those above `MAX_SEGMENT` code points in parts. */
function* segments(text: string): Generator<string> {
  for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    let rest = line;
    while (rest.length > MAX_SEGMENT) {
      let end = 0;
      for (let count = 0; count < MAX_SEGMENT && end < rest.length; count++)
        end += (rest.codePointAt(end) ?? 0) > 0xffff ? 2 : 1;
      yield rest.slice(0, end);
      rest = rest.slice(end);
    }
    if (rest !== '') yield rest;
  }
}

function fixSegment(segment: string, entities: boolean): string {
  // Plain ASCII, the usual prompt, is left alone by every rule.
  if (!/[^\t\n\f\x20-\x7e]/.test(segment) && !(entities && segment.includes('&'))) return segment;
  let text = segment;
  for (let round = 0, work = 0; round < MIN_ROUNDS || work < MAX_WORK; round++) {
    const before = text;
    work += text.length;
    if (entities) text = unescapeTerminatedHtml(text);
    text = repairMojibake(text);
    for (const rule of RULES) text = rule.apply(text);
    if (text === before) break;
  }
  return text;
}
