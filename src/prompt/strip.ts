/** Texts without certain characters at their ends, in linear time: Python's `str.strip` and its kind. */

type Test = (character: string) => boolean;

/** The text without such characters at its start. */
export function withoutStart(text: string, goes: Test): string {
  let start = 0;
  while (start < text.length && goes(text.charAt(start))) start++;
  return text.slice(start);
}

/** The text without such characters at its end. */
export function withoutEnd(text: string, goes: Test): string {
  let end = text.length;
  while (end > 0 && goes(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/** The text without such characters at both ends. */
export const withoutEnds = (text: string, goes: Test): string => withoutStart(withoutEnd(text, goes), goes);
