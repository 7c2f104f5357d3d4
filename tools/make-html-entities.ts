/**
 * Writes src/tokenizer/html-entities-data.ts: the named character references of HTML.
 *
 *   node --import ./tools/typescript.mjs tools/make-html-entities.ts entities.json
 *
 * Input: https://html.spec.whatwg.org/entities.json.
 * Form: `name:codes` separated by spaces, codes being hexadecimal code points joined by `+`; `!` after the name where the reference may also be
 * written without its semicolon.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const input = process.argv[2];
if (!input) throw new Error('usage: node --import ./tools/typescript.mjs tools/make-html-entities.ts entities.json');
const entities = JSON.parse(readFileSync(input, 'utf8')) as Record<string, { characters: string }>;

const entries = Object.entries(entities)
  .filter(([name]) => name.endsWith(';'))
  .map(([reference, { characters }]) => {
    const name = reference.slice(1, -1);
    const codes = Array.from(characters, (character) => character.codePointAt(0)?.toString(16)).join('+');
    return `${name}${`&${name}` in entities ? '!' : ''}:${codes}`;
  })
  .sort();
const lines: string[] = [''];
for (const entry of entries) {
  const last = lines[lines.length - 1] ?? '';
  if (last.length + entry.length > 136) lines.push(entry);
  else lines[lines.length - 1] = last === '' ? entry : `${last} ${entry}`;
}
writeFileSync(
  join(import.meta.dirname, '../src/tokenizer/html-entities-data.ts'),
  `/** The named character references of HTML (WHATWG), made by tools/make-html-entities.ts, whose comment describes the form. */
export const HTML_ENTITIES_DATA = \`
${lines.join('\n')}
\`;
`,
);
