/**
 * Runs the test files: all below test/, or those whose path contains one of the words given. Ends with node:test's own summary.
 *
 *     npm test                     everything
 *     npm test -- weights          the files with "weights" in their path
 *     npm test -- --times weights  and then the files that took the most processor time
 *
 * One file alone, from its source: node --import ./tools/typescript.mjs --test test/FILE.test.ts
 *
 * A test that takes ten minutes has failed.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleTests } from './test-bundles.ts';

const root = join(import.meta.dirname, '..');
const { positionals: words, values } = parseArgs({
  options: { times: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => `test/${file.split(sep).join('/')}`)
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort();
if (files.length === 0) throw new Error(`No test file matches ${words.join(', ')}.`);

const bundles = await bundleTests(files);
try {
  const times = join(bundles.folder, 'times');
  const { status } = spawnSync(
    process.execPath,
    ['--test', '--test-timeout=600000', '--test-concurrency=2', ...bundles.files],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, SD_TEST_BUNDLES: bundles.folder, ...(values.times ? timed(times) : {}) },
    },
  );
  if (values.times) printTimes(times);
  process.exitCode = status ?? 1;
} finally {
  bundles.remove();
}

/** Environment in which each process of Node writes its processor time into a folder. */
function timed(folder: string): Readonly<Record<string, string>> {
  mkdirSync(folder);
  const hook = pathToFileURL(join(root, 'tools/processor-times.mjs')).href;
  return { SD_TEST_TIMES: folder, NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import ${hook}`.trim() };
}

/** Processes that a signal ends are missing. */
function printTimes(folder: string): void {
  const times = new Map<string, number>();
  for (const name of readdirSync(folder)) {
    const { file, seconds } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    times.set(file, (times.get(file) ?? 0) + seconds);
  }
  const total = [...times.values()].reduce((sum, seconds) => sum + seconds, 0);
  console.log(`\n${total.toFixed(1)} seconds of processor time, of which:`);
  const slowest = [...times].sort(([, a], [, b]) => b - a).slice(0, 40);
  for (const [file, seconds] of slowest) console.log(`${seconds.toFixed(1).padStart(7)}  ${file}`);
}
