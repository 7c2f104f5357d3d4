/**
 * Text operations that Python and JavaScript define differently. The reference tokenizers are Python (`str`, `regex`) and Rust.
 */

/** Body of a character class: the Unicode property White_Space, which is `\s` of Python's `regex` and of Oniguruma (JavaScript's differs). */
export const WHITE_SPACE = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

/** Body of a character class: what `str.isspace` accepts, which is `\s` of Python's `re`. */
export const PYTHON_SPACE = `${WHITE_SPACE}\\x1c-\\x1f`;

/** Ranges of code points, in hexadecimal and separated by white space, as the body of a character class of a `u` pattern. */
export function characterClass(ranges: string): string {
  return ranges
    .trim()
    .replace(/[0-9a-f]+/g, (code) => `\\u{${code}}`)
    .replace(/\s+/g, '');
}

const WHITE_SPACE_RUN = new RegExp(`[${WHITE_SPACE}]+`, 'g');
const PYTHON_SPACE_ONE = new RegExp(`[${PYTHON_SPACE}]`);
const PYTHON_SPACE_RUN = new RegExp(`[${PYTHON_SPACE}]+`);

/** `regex.sub(r'\s+', ' ', text)`. */
export function collapseWhiteSpace(text: string): string {
  return text.replace(WHITE_SPACE_RUN, ' ');
}

/** `text.strip()`. */
export function strip(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && PYTHON_SPACE_ONE.test(text.charAt(start))) start++;
  while (end > start && PYTHON_SPACE_ONE.test(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

/** `text.split()`. */
export function splitWords(text: string): string[] {
  return text.split(PYTHON_SPACE_RUN).filter((word) => word !== '');
}

/**
 * `text.normalize(form)`, which takes quadratic time for a long run of combining marks out of their order. Runs above 2,048 marks, which
 * no writing system has, are therefore normalised in parts.
 */
export function normalize(text: string, form: 'NFC' | 'NFD'): string {
  if (text.length <= 2048 || !/\p{M}{2049}/u.test(text)) return text.normalize(form);
  return (text.match(/\P{M}+\p{M}{0,2048}|\p{M}{1,2048}/gu) ?? []).map((part) => part.normalize(form)).join('');
}

/** Lower case one code point at a time, so without the special final sigma: Rust's `char::to_lowercase`. */
export function lowerEachCharacter(text: string): string {
  return text.includes('Σ')
    ? text
        .split('Σ')
        .map((part) => part.toLowerCase())
        .join('σ')
    : text.toLowerCase();
}

/** Replaces surrogates that have no partner, which no encoding can write, by U+FFFD. */
export function replaceLoneSurrogates(text: string): string {
  return text.replace(/[\ud800-\udfff]/gu, '\ufffd');
}

/**
 * The CJK ideographs around which BERT puts spaces. The first code point of extension E is 0x2b820; Rust's tokenizers have 0x2b920.
 */
export function isIdeograph(code: number, extensionE: 0x2b820 | 0x2b920): boolean {
  return (
    (code >= 0x4e00 && code <= 0x9fff) ||
    (code >= 0x3400 && code <= 0x4dbf) ||
    (code >= 0x20000 && code <= 0x2a6df) ||
    (code >= 0x2a700 && code <= 0x2b73f) ||
    (code >= 0x2b740 && code <= 0x2b81f) ||
    (code >= extensionE && code <= 0x2ceaf) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0x2f800 && code <= 0x2fa1f)
  );
}
