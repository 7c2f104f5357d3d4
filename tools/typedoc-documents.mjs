/**
 * TypeDoc plugin: the pages of docs/ appear in the site under their headings, grouped by folder, instead of under their file names, so the pages
 * need no front matter.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, '../docs');
const groups = { guides: 'Guides', reference: 'Reference', notes: 'Notes' };

/** Group of each page, by its heading. */
const groupOf = new Map(
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => {
      const heading = /^# (.+)$/m.exec(readFileSync(join(folder, file), 'utf8'))?.[1];
      return [heading, groups[file.split(/[\\/]/)[0]] ?? 'Documentation'];
    }),
);

export function load(app) {
  app.converter.on('createDocument', (_context, document) => {
    const [first] = document.content;
    const heading = first?.kind === 'text' ? /^# (.+)\n/.exec(first.text) : undefined;
    if (!heading) return;
    document.name = heading[1];
    document.frontmatter.group = groupOf.get(heading[1]) ?? 'Documentation';
  });
}
