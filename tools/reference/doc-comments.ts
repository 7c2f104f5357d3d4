/** Doc comments of source files, for tables whose rows are explained where they are declared. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export const sourceOf = (path: string): string => readFileSync(join(root, path), 'utf8');

/** A comment's text without its markers, as one paragraph a blank line. */
function plain(comment: string): string {
  return comment
    .replace(/^\/\*\*\s*|\s*\*\/$/g, '')
    .replaceAll(/^\s*\* ?/gm, '')
    .trim();
}

/** The first comment of a file, its first paragraph in one line. */
export function headComment(path: string): string {
  const found = /^(?:#!.*\n)?(\/\*\*[\s\S]*?\*\/)/.exec(sourceOf(path))?.[1];
  if (found === undefined) throw new Error(`${path} has no comment at its head.`);
  return (plain(found).split(/\n\s*\n/)[0] ?? '').replaceAll(/\s+/g, ' ');
}

/** Comments before declarations: `pattern` matches the declaration after the comment, and its first group is the name. */
export function commentsBefore(path: string, pattern: RegExp): ReadonlyMap<string, string> {
  const found = sourceOf(path).matchAll(new RegExp(`(/\\*\\*(?:(?!\\*/)[\\s\\S])*\\*/)\\s*${pattern.source}`, 'g'));
  return new Map([...found].map((match) => [match[2] ?? '', plain(match[1] ?? '').replaceAll(/\s+/g, ' ')]));
}
