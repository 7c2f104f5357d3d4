/**
 * HTML character references: the decoding of Python's `html.unescape` (WHATWG HTML, "Character reference state"), and the stricter one of
 * ftfy's `unescape_html`, which requires the semicolon.
 */

import { HTML_ENTITIES_DATA } from './html-entities-data.ts';
import { decodeByte, WINDOWS_1252 } from './code-pages.ts';

/** References that may lack their semicolon, e.g. `amp`. */
const LEGACY = new Map<string, string>();
/** All names, without `&` and `;`. */
const NAMED = new Map<string, string>();
for (const entry of HTML_ENTITIES_DATA.trim().split(/\s+/)) {
  const [label = '', codes = ''] = entry.split(':');
  const characters = String.fromCodePoint(...codes.split('+').map((code) => Number.parseInt(code, 16)));
  const name = label.replace('!', '');
  NAMED.set(name, characters);
  if (name !== label) LEGACY.set(name, characters);
}

/** All-caps spellings such as `&NTILDE;` of lower-case names, where HTML itself gives them no meaning. */
const SHOUTED = new Map<string, string>();
for (const [name, characters] of NAMED) {
  const shouted = name.toUpperCase();
  if (name === name.toLowerCase() && namedReference(`${shouted};`) === undefined)
    SHOUTED.set(shouted, characters.toUpperCase());
}

/** Decodes every reference as a browser would, also those without a semicolon (`&notit;` is `¬it;`). As Python's `html.unescape`. */
export function unescapeHtml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(
    /&(?:#([0-9]+);?|#[xX]([0-9a-fA-F]+);?|([^\t\n\f <&#;]{1,32};?))/gu,
    (reference, decimal, hexadecimal, name) => {
      if (name !== undefined) return namedReference(name) ?? reference;
      return numericReference(decimal, hexadecimal);
    },
  );
}

/** Decodes references that end in a semicolon, and all-caps spellings. As ftfy 6.3 `unescape_html`. */
export function unescapeTerminatedHtml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(#?[0-9A-Za-z]{1,24});/g, (reference: string, body: string) => {
    if (!body.startsWith('#')) return NAMED.get(body) ?? SHOUTED.get(body) ?? reference;
    const decoded = unescapeHtml(reference);
    return decoded.includes(';') ? reference : decoded;
  });
}

/** `name` may end in a semicolon; without one, its longest prefix that is a legacy name is decoded and the rest kept. */
function namedReference(name: string): string | undefined {
  const whole = name.endsWith(';') ? NAMED.get(name.slice(0, -1)) : LEGACY.get(name);
  if (whole !== undefined) return whole;
  for (let length = name.length - 1; length > 1; length--) {
    const prefix = LEGACY.get(name.slice(0, length));
    if (prefix !== undefined) return prefix + name.slice(length);
  }
  return undefined;
}

function numericReference(decimal: string | undefined, hexadecimal: string | undefined): string {
  const code = decimal === undefined ? Number.parseInt(hexadecimal ?? '', 16) : Number(decimal);
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd';
  if (code === 0x0d) return '\r';
  if (code >= 0x80 && code <= 0x9f) return decodeByte(WINDOWS_1252, code);
  const control = code <= 8 || code === 0x0b || (code >= 0x0e && code <= 0x1f) || code === 0x7f;
  const nonCharacter = (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe;
  return control || nonCharacter ? '' : String.fromCodePoint(code);
}
