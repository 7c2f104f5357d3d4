/**
 * Checks the Markdown of the repository: relative links lead to files and headings that exist, every picture of docs/ is used, and prose is
 * wrapped at 120 characters. Tables, code, headings and generated blocks may be wider. Addresses on the web are not fetched.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const root = join(import.meta.dirname, '..');
const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md', 'docs/pictures'], {
  cwd: root,
  encoding: 'utf8',
}).split('\n');
const pages = tracked.filter((file) => file.endsWith('.md') && existsSync(join(root, file)));
/** Pages with wider prose: the parity program writes it. */
const unwrapped = new Set(['docs/parity.md']);
const problems: string[] = [];
const used = new Set<string>();

/** Lines outside code blocks; the others are empty, so that numbers stay. */
function proseLines(text: string): string[] {
  let inCode = false;
  return text.split('\n').map((line) => {
    if (line.trimStart().startsWith('```')) {
      inCode = !inCode;
      return '';
    }
    return inCode ? '' : line;
  });
}

/** The anchor of a heading, as GitHub makes it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

function anchorsOf(file: string): ReadonlySet<string> {
  const headings = proseLines(readFileSync(join(root, file), 'utf8')).filter((line) => /^#{1,6} /.test(line));
  return new Set(headings.map((line) => anchorOf(line.replace(/^#+ /, ''))));
}

function checkLink(page: string, line: number, target: string): void {
  if (/^[a-z]+:/.test(target)) return;
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? page : normalize(join(dirname(page), decodeURIComponent(path)));
  used.add(file);
  if (!existsSync(join(root, file))) problems.push(`${page}:${line}: ${target} leads to nothing`);
  else if (statSync(join(root, file)).isDirectory())
    problems.push(`${page}:${line}: ${target} is a folder, which the site of "npm run docs" cannot show`);
  else if (anchor !== undefined && file.endsWith('.md') && !anchorsOf(file).has(anchor))
    problems.push(`${page}:${line}: ${file} has no heading #${anchor}`);
}

for (const page of pages) {
  let generated = false;
  for (const [i, line] of proseLines(readFileSync(join(root, page), 'utf8')).entries()) {
    if (line.startsWith('<!-- reference:')) generated = true;
    if (line.startsWith('<!-- /reference')) generated = false;
    for (const [, target = ''] of line.replaceAll(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g))
      checkLink(page, i + 1, target);
    const isProse = !generated && !unwrapped.has(page) && !/^(\||#|!\[|<)/.test(line.trimStart());
    if (isProse && [...line].length > 120 && line.trim().includes(' '))
      problems.push(`${page}:${i + 1}: ${[...line].length} characters; prose is wrapped at 120`);
  }
}
for (const picture of tracked.filter((file) => file.startsWith('docs/pictures/') && existsSync(join(root, file))))
  if (!used.has(picture)) problems.push(`${picture}: no page shows it`);

if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exitCode = 1;
} else console.log(`docs: ${pages.length} pages, all links lead somewhere`);
