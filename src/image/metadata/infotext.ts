/**
 * A1111's infotext: prompt, negative prompt and one line of `key: value` settings, as web UI v1.10.1 writes it under pictures
 * (modules/processing.py `create_infotext`) and reads it back (modules/infotext_utils.py `parse_generation_parameters`).
 */

import { fillInfotextDefaults } from './infotext-defaults.ts';

export type InfotextValue = string | number | boolean | null;

/** A parsed text: strings as written, plus A1111's defaults, which can be numbers and booleans. */
export type InfotextFields = Readonly<Record<string, string | number | boolean>>;

/** A number as Python prints a float: 7 is "7.0". A1111 prints such settings as CFG scale this way; whole numbers print as they are. */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude >= 1e16 || magnitude < 1e-4)) {
    const [digits = '', exponent = ''] = value.toExponential().split('e');
    return `${digits}e${exponent.slice(0, 1)}${exponent.slice(1).padStart(2, '0')}`;
  }
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function pythonString(value: InfotextValue): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return typeof value === 'number' && !Number.isSafeInteger(value) ? pythonFloat(value) : String(value);
}

/** Unchanged, or as a JSON string if it contains a comma, a colon or a line break. */
export function quoteInfotext(value: InfotextValue): string {
  const text = pythonString(value);
  return /[,\n:]/.test(text) ? JSON.stringify(text) : text;
}

/** The inverse for text in double quotes; other text is returned unchanged. */
export function unquoteInfotext(text: string): string {
  if (!text.startsWith('"') || !text.endsWith('"')) return text;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : text;
  } catch {
    return text;
  }
}

/** Python's white space, which is not JavaScript's. */
const space = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const leadingSpace = new RegExp(`^${space}+`);
const isSpace = new RegExp(`^${space}$`);
const wordStart = /^[\p{L}\p{N}_]$/u;
const keyLetter = /^[\p{L}\p{N}_ \-/]$/u;
const imageSize = /^(\p{Nd}+)x(\p{Nd}+)$/u;

function strip(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace.test(text.charAt(end - 1))) end--;
  return text.slice(0, end).replace(leadingSpace, '');
}

/** The end of the double-quoted string at `start` (after its quote), if it ends and is not empty. */
function quotedEnd(text: string, start: number): number | undefined {
  if (text[start] !== '"') return undefined;
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at > start + 1 ? at + 1 : undefined;
  }
  return undefined;
}

/**
 * The `key: value` pairs of a line: what `re.findall` gives for A1111's `\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)`, found in
 * linear time (the expression itself takes quadratic time on long lines without colons).
 */
export function infotextPairs(line: string): [key: string, value: string][] {
  const pairs: [string, string][] = [];
  let from = 0;
  for (let colon = line.indexOf(':'); colon >= 0; colon = line.indexOf(':', Math.max(from, colon + 1))) {
    // The key: as far back as its letters go, from the first that may begin it.
    const letters: string[] = [];
    let at = colon;
    while (at > from) {
      const low = line.charCodeAt(at - 1);
      const letter = low >= 0xdc00 && low <= 0xdfff && at - 2 >= from ? line.slice(at - 2, at) : line.charAt(at - 1);
      if (!keyLetter.test(letter)) break;
      letters.push(letter);
      at -= letter.length;
    }
    letters.reverse();
    const first = letters.findIndex((letter) => wordStart.test(letter));
    if (first < 0 || letters.length - first < 2) continue;

    let start = colon + 1;
    while (start < line.length && isSpace.test(line.charAt(start))) start++;
    let end = quotedEnd(line, start);
    if (end === undefined || (end < line.length && line[end] !== ',')) {
      const comma = line.indexOf(',', start);
      end = comma < 0 ? line.length : comma;
    }
    pairs.push([letters.slice(first).join(''), line.slice(start, end)]);
    from = end + 1;
  }
  return pairs;
}

export interface ParseInfotextOptions {
  /** Keys to leave out of the result. */
  readonly skip?: readonly string[];
}

/**
 * `parse_generation_parameters`: fields by A1111's names, with its defaults. Any text parses; without a settings line of at least three
 * pairs all of it is prompt. Sizes such as `Size: 512x768` become `Size-1` and `Size-2`.
 */
export function parseInfotext(text: string, options: ParseInfotextOptions = {}): InfotextFields {
  const lines = strip(text).split('\n');
  const last = lines.at(-1) ?? '';
  let pairs = infotextPairs(last);
  if (pairs.length < 3) pairs = [];
  else lines.pop();

  const parts = { prompt: '', negative: '' };
  let side: 'prompt' | 'negative' = 'prompt';
  for (const raw of lines) {
    let line = strip(raw);
    if (line.startsWith('Negative prompt:')) {
      side = 'negative';
      line = strip(line.slice(16));
    }
    parts[side] += (parts[side] === '' ? '' : '\n') + line;
  }

  const fields = new Map<string, string | number | boolean>();
  for (const [key, raw] of pairs) {
    if (raw === '') continue; // A1111 fails on these and continues
    const value = raw.startsWith('"') && raw.endsWith('"') ? unquoteInfotext(raw) : raw;
    const size = imageSize.exec(value);
    if (size) fields.set(`${key}-1`, size[1] ?? '').set(`${key}-2`, size[2] ?? '');
    else fields.set(key, value);
  }
  fields.set('Prompt', parts.prompt).set('Negative prompt', parts.negative);
  fillInfotextDefaults(fields, parts.prompt, parts.negative);
  for (const key of options.skip ?? []) fields.delete(key);
  return Object.fromEntries(fields);
}

export interface InfotextContent {
  readonly prompt: string;
  readonly negativePrompt?: string;
  /** In the order they are to be written; null and undefined are left out, and a value equal to its key is written as the key alone. */
  readonly settings: Iterable<readonly [key: string, value: InfotextValue | undefined]>;
}

/** The text itself. `parseInfotext` gives the settings back. */
export function formatInfotext({ prompt, negativePrompt, settings }: InfotextContent): string {
  const written: string[] = [];
  for (const [key, value] of settings) {
    if (value === null || value === undefined) continue;
    written.push(key === value ? key : `${key}: ${quoteInfotext(value)}`);
  }
  const negative = negativePrompt ? `\nNegative prompt: ${negativePrompt}` : '';
  return strip(`${prompt}${negative}\n${written.join(', ')}`);
}
