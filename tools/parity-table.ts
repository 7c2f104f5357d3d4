/**
 * docs/parity.md from what the tests recorded in build/parity: every case of the reference set that was compared, with its largest error.
 * With --check, fails where the file in docs/ lists other cases than the tests recorded (errors may differ from machine to machine).
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ParityRow } from '../test/parity.ts';

const root = join(import.meta.dirname, '..');
const folder = join(root, 'build/parity');
const rows = readdirSync(folder)
  .flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n'))
  .filter(Boolean)
  .map((line) => JSON.parse(line) as ParityRow);

interface Summary {
  readonly outputs: Set<string>;
  worst: ParityRow;
  readonly notes: Set<string>;
  failed: boolean;
}

/** Share of the tolerance that an error uses up; exact cases count as 0 or 1. */
function share({ error, tolerance }: ParityRow): number {
  return tolerance > 0 ? error / tolerance : error > 0 ? Number.POSITIVE_INFINITY : 0;
}

const parts = new Map<string, Map<string, Summary>>();
for (const row of rows) {
  const cases = parts.get(row.part) ?? new Map<string, Summary>();
  parts.set(row.part, cases);
  const summary = cases.get(row.case) ?? { outputs: new Set(), worst: row, notes: new Set(), failed: false };
  cases.set(row.case, summary);
  summary.outputs.add(row.output);
  if (share(row) > share(summary.worst)) summary.worst = row;
  if (row.note) summary.notes.add(row.note);
  if (!(row.error <= row.tolerance)) summary.failed = true;
}

const number = (value: number): string =>
  value === 0 ? '0' : Number.isInteger(value) ? String(value) : value.toExponential(1);
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const skipped = (summary: Summary): boolean => [...summary.notes].some((note) => note.startsWith('skipped'));

const lines: string[] = [
  '# Parity with the reference',
  '',
  'Made by `npm test && npm run parity` from what the tests measured. Each row is one recorded case of the original code: how many of its',
  'outputs were compared, and of these the one nearest to its tolerance, as the largest absolute difference (or the number of rows that differ).',
  '',
  '| part | cases | compared outputs | failing | skipped |',
  '|---|---|---|---|---|',
];
const sorted = [...parts].sort(([a], [b]) => a.localeCompare(b));
for (const [part, cases] of sorted) {
  const all = [...cases.values()];
  const outputs = all.reduce((sum, { outputs: names }) => sum + names.size, 0);
  lines.push(
    `| ${part} | ${cases.size} | ${outputs} | ${all.filter(({ failed }) => failed).length} | ${all.filter(skipped).length} |`,
  );
}
for (const [part, cases] of sorted) {
  lines.push(
    '',
    `## ${part}`,
    '',
    '| case | outputs | error | tolerance | output | remarks |',
    '|---|---|---|---|---|---|',
  );
  for (const [name, summary] of [...cases].sort(([a], [b]) => a.localeCompare(b))) {
    const { worst, outputs, failed, notes } = summary;
    const remarks = [failed ? '**failing**' : '', ...notes].filter(Boolean).join('; ');
    lines.push(
      `| ${cell(name)} | ${outputs.size} | ${number(worst.error)} | ${number(worst.tolerance)} | ${cell(worst.output)} | ${cell(remarks)} |`,
    );
  }
}
const text = `${lines.join('\n')}\n`;
const path = join(root, 'docs/parity.md');

if (process.argv.includes('--check')) {
  const casesOf = (document: string): string[] =>
    document
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .map((line) => line.split(' | ')[0] ?? '');
  const before = new Set(casesOf(readFileSync(path, 'utf8')));
  const missing = casesOf(text).filter((name) => !before.has(name));
  if (missing.length > 0) {
    console.error(
      `docs/parity.md lacks ${missing.length} cases, such as ${missing.slice(0, 3).join(', ')}: run npm run parity`,
    );
    process.exitCode = 1;
  }
} else {
  writeFileSync(path, text);
  console.log(
    `docs/parity.md: ${[...parts.values()].reduce((sum, cases) => sum + cases.size, 0)} cases in ${parts.size} parts`,
  );
}
