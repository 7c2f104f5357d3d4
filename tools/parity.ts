/**
 * Runs the recorded cases of the original code and prints for each the measured error, the tolerance and the verdict.
 *
 *     npm run parity                               every set of ../shared/reference, else of fixtures/
 *     npm run parity -- --reference DIR            another reference folder of the same structure
 *     npm run parity -- --set networks --case vq   some of the cases
 *     npm run parity -- --json                     one JSON object a line
 *     npm run parity -- --document                 write docs/parity.md; runs no case
 *     npm run parity -- --check                    fail where docs/parity.md does not fit the readers; runs no case
 *
 * Exits with 1 where a case fails or nothing reads it and test/parity/not-read.ts gives no reason.
 */

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type CaseResult, type Comparison, runCases, titleOf, type Verdict } from '../test/parity/run.ts';
import { documentProblems, writeDocument } from './parity-document.ts';

const project = join(import.meta.dirname, '..');
const { values: options } = parseArgs({
  options: {
    reference: { type: 'string' },
    set: { type: 'string', multiple: true },
    case: { type: 'string' },
    json: { type: 'boolean', default: false },
    document: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
  },
});

if (options.document) await writeDocument();
else if (options.check) await check();
else await run();

async function check(): Promise<void> {
  const problems = await documentProblems();
  for (const problem of problems) console.error(problem);
  if (problems.length === 0) return;
  console.error('If the new coverage is right, run npm run parity -- --document. Lost coverage is a fault.');
  process.exitCode = 1;
}

async function run(): Promise<void> {
  const beside = join(project, '../shared/reference');
  const root = options.reference ? resolve(options.reference) : existsSync(beside) ? beside : join(project, 'fixtures');
  const counts: Record<Verdict, number> = { pass: 0, fail: 0, 'not read': 0, unread: 0 };
  const results: CaseResult[] = [];
  for await (const result of runCases({ root, sets: options.set, only: options.case })) {
    counts[result.verdict] += 1;
    results.push(result);
    console.log(options.json ? JSON.stringify(result) : lineOf(result));
  }
  const whole = options.set === undefined && options.case === undefined && options.reference === undefined;
  if (whole) writeResults(results);
  if (results.length === 0) console.error(`No recorded case in ${root} fits.`);
  else if (!options.json)
    console.log(
      `${results.length} cases of ${root}: ${counts.pass} pass, ${counts.fail} fail, ${counts.unread} unread, ${counts['not read']} not read for a stated reason; ${countRows(results)} counted with the files inside a case`,
    );
  process.exitCode = counts.fail > 0 || counts.unread > 0 || results.length === 0 ? 1 : 0;
}

/** build/parity.json: every case with its comparisons. */
function writeResults(results: readonly CaseResult[]): void {
  mkdirSync(join(project, 'build'), { recursive: true });
  writeFileSync(join(project, 'build/parity.json'), `${JSON.stringify(results)}\n`);
}

/** Number of cases, where each recorded file or text inside a case counts. */
function countRows(results: readonly CaseResult[]): number {
  return results.reduce(
    (sum, { comparisons }) => sum + Math.max(1, new Set(comparisons.map(({ item }) => item)).size),
    0,
  );
}

function lineOf(result: CaseResult): string {
  const { verdict, comparisons, reason } = result;
  const compared = comparisons.filter(({ skipped }) => skipped === undefined);
  const worst = compared.reduce<Comparison | undefined>((a, b) => (a && share(a) >= share(b) ? a : b), undefined);
  const measure = worst
    ? `${compared.length} compared, worst ${[worst.item, worst.output].filter(Boolean).join(' ')}: error ${number(worst.error)}, tolerance ${number(worst.tolerance)}`
    : '';
  return [`${verdict.padEnd(8)} ${titleOf(result)}`, measure, reason].filter(Boolean).join(' · ');
}

/** Share of the tolerance that an error uses up; exact cases count as 0 or infinity. */
function share({ error, tolerance }: Comparison): number {
  return tolerance > 0 ? error / tolerance : error > 0 ? Number.POSITIVE_INFINITY : 0;
}

function number(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toExponential(1);
}
