/** Python's functions on texts as ComfyUI's text nodes use them: parts by code points, cases, spaces at the ends, `re`'s searches. */

import { StableDiffusionError } from '../errors.ts';

/** `text[start:end]`: negative places count from the end. */
export const substring = (text: string, start: number, end: number): string => [...text].slice(start, end).join('');

/** `str.capitalize`. */
export function capitalized(text: string): string {
  const [first = '', ...others] = text;
  return first.toUpperCase() + others.join('').toLowerCase();
}

/** `str.title`: a letter that follows none is upper-case. */
export const titled = (text: string): string => text.replaceAll(/\p{L}+/gu, (word) => capitalized(word));

/** `strip`, `lstrip` or `rstrip` by the name of the ends. */
export function stripped(text: string, ends: string): string {
  if (ends === 'Left') return text.trimStart();
  return ends === 'Right' ? text.trimEnd() : text.trim();
}

export interface Search {
  readonly pattern: string;
  readonly ignoresCase: boolean;
  readonly multiline: boolean;
  readonly dotall: boolean;
}

/** Python's spellings that JavaScript has otherwise: named groups, the ends of the text, flags at the start. */
function translated({ pattern, multiline }: Search): string {
  return pattern
    .replaceAll('(?P<', '(?<')
    .replaceAll(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replaceAll(/\\A/g, multiline ? '(?<![\\s\\S])' : '^')
    .replaceAll(/\\Z/g, multiline ? '(?![\\s\\S])' : '$');
}

/** Throws `invalid-argument` for a pattern that JavaScript does not take. */
function expression(search: Search): RegExp {
  const { pattern, ignoresCase, multiline, dotall } = search;
  const flags = `gu${ignoresCase ? 'i' : ''}${multiline ? 'm' : ''}${dotall ? 's' : ''}`;
  try {
    return new RegExp(translated(search), flags);
  } catch (first) {
    try {
      // Without `u` escapes of plain characters are allowed, as in Python.
      return new RegExp(translated(search), flags.replace('u', ''));
    } catch {
      throw new StableDiffusionError(
        'invalid-argument',
        `The pattern ${JSON.stringify(pattern)} is no regular expression: ${(first as Error).message}.`,
      );
    }
  }
}

/** The matches of a search; undefined for a pattern that is wrong, which ComfyUI takes for one without a match. */
function found(text: string, search: Search): RegExpExecArray[] | undefined {
  try {
    return [...text.matchAll(expression(search))] as RegExpExecArray[];
  } catch {
    return undefined;
  }
}

/** Whether a pattern is anywhere in a text. */
export const matches = (text: string, search: Search): boolean => (found(text, search)?.length ?? 0) > 0;

/** What a search finds, by the name of a mode: whole matches or one group, the first or all, in lines. */
export function extracted(text: string, search: Search, mode: string, group: number): string {
  const all = found(text, search) ?? [];
  const [first] = all;
  if (!first) return '';
  const groups = first.length - 1;
  if (mode === 'First Match') return first[0];
  // `re.findall` gives the first group where there are any.
  if (mode === 'All Matches') return all.map((one) => (groups > 0 ? (one[1] ?? '') : one[0])).join('\n');
  if (groups < group) return '';
  if (mode === 'First Group') return first[group] ?? '';
  return all.map((one) => one[group] ?? '').join('\n');
}

/** `re.sub`: `\1` and `\g<name>` stand for groups; `count` 0 replaces all. Throws `invalid-argument` for a wrong pattern. */
export function replacedByPattern(text: string, search: Search, replacement: string, count: number): string {
  let done = 0;
  return text.replace(expression(search), (match: string, ...rest: unknown[]) => {
    if (count > 0 && done >= count) return match;
    done += 1;
    const named = typeof rest.at(-1) === 'object' ? (rest.at(-1) as Record<string, string | undefined>) : {};
    const groups = rest.slice(
      0,
      rest.findIndex((one) => typeof one === 'number'),
    ) as (string | undefined)[];
    return replacement.replaceAll(
      /\\(?:g<(\w+)>|(\d{1,2})|([nrt\\]))/g,
      (_, name?: string, digits?: string, special?: string) => {
        if (special) return { n: '\n', r: '\r', t: '\t', '\\': '\\' }[special] ?? special;
        const key = name ?? digits ?? '';
        const index = Number(key);
        return (Number.isInteger(index) ? (index === 0 ? match : groups[index - 1]) : named[key]) ?? '';
      },
    );
  });
}
