/**
 * Text of others (files, callers, model names) as a person may safely see it: characters that a terminal obeys, that reorder the line or
 * that no screen shows become escapes such as `\u001b`. An escape has the form of JSON's, so a line of JSON stays the same value.
 *
 * What counts: C0 and C1 controls (ECMA-48), line and paragraph separators, the bidirectional controls of UAX #9 (Trojan Source,
 * CVE-2021-42574), tag characters and lone surrogates. Joiners stay, since emoji are built from them.
 */

/** Line feed and tab are left to `visibleLines`. */
const hidden =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb]|[\u{e0001}-\u{e007f}]|\p{Surrogate}/gu;
const breaks = /[\n\t]/g;

const escapeOf = (characters: string): string =>
  Array.from(
    { length: characters.length },
    (_, i) => `\\u${characters.charCodeAt(i).toString(16).padStart(4, '0')}`,
  ).join('');

/** One value, for example a name, in a line: line breaks and tabs are escaped as well. `most` is the number of characters shown. */
export function visible(text: string, most = Number.POSITIVE_INFINITY): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return visibleLines(cut).replaceAll(breaks, (character) => (character === '\n' ? '\\n' : '\\t'));
}

/** Text of several lines: its own line breaks and tabs stay. */
export function visibleLines(text: string): string {
  return text.replaceAll(hidden, escapeOf);
}
