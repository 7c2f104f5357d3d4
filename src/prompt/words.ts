/** Words and white space of prompts as Python's `re` sees them (`\b`, `\s`), which A1111's syntax is written with. */

import { PYTHON_SPACE } from '../tokenizer/unicode-text.ts';
import { withoutEnd, withoutStart } from './strip.ts';

/** Body of a character class: Python's `\w`. */
export const pythonWord = '\\p{L}\\p{N}_';

const spaces = new RegExp(`[${PYTHON_SPACE}]`);
const isSpace = (character: string): boolean => spaces.test(character);

/** `text.rstrip()`. */
export const stripEnd = (text: string): string => withoutEnd(text, isSpace);

/** `text.lstrip()`. */
export const stripStart = (text: string): string => withoutStart(text, isSpace);

/** The parts before, between and after whole-word occurrences of a word; with `trim`, without surrounding white space. */
export function splitAtWord(text: string, word: string, { trim = false }: { readonly trim?: boolean } = {}): string[] {
  const parts = text.split(new RegExp(`(?<![${pythonWord}])${word}(?![${pythonWord}])`, 'u'));
  if (!trim) return parts;
  return parts.map((part, i) => {
    const begun = i === 0 ? part : stripStart(part);
    return i === parts.length - 1 ? begun : stripEnd(begun);
  });
}
