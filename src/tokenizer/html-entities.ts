/**
 * HTML character references: the decoding of Python's `html.unescape` (WHATWG HTML, "Character reference state"), and the stricter one of
 * ftfy's `unescape_html`, which requires the semicolon.
 */

import { decodeHTML, decodeHTMLStrict } from 'entities/decode';
import { decodeByte, WINDOWS_1252 } from './code-pages.ts';

/** The characters of a name that ends in a semicolon. */
function strictReference(name: string): string | undefined {
  const reference = `&${name};`;
  const decoded = decodeHTMLStrict(reference);
  return decoded === reference ? undefined : decoded;
}

/** All-caps spellings such as `&NTILDE;` of lower-case names, where HTML itself gives them no meaning. */
function shoutedReference(name: string): string | undefined {
  if (name !== name.toUpperCase() || namedReference(`${name};`) !== undefined) return undefined;
  return strictReference(name.toLowerCase())?.toUpperCase();
}

/** The character of a name, without the ampersand and the semicolon. Undefined for a name that HTML does not have. */
export function characterOfName(name: string): string | undefined {
  return strictReference(name);
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
    if (!body.startsWith('#')) return strictReference(body) ?? shoutedReference(body) ?? reference;
    const decoded = unescapeHtml(reference);
    return decoded.includes(';') ? reference : decoded;
  });
}

/** `name` may end in a semicolon; without one, its longest prefix that is a legacy name is decoded and the rest kept. */
function namedReference(name: string): string | undefined {
  const decoded = decodeHTML(`&${name}`);
  return decoded === `&${name}` ? undefined : decoded;
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
