/**
 * Runs the test files: all below test/, or those whose path contains one of the words given. Ends with node:test's own summary.
 *
 *     npm test                 everything
 *     npm test -- weights      the files with "weights" in their path
 *
 * A test that takes ten minutes has failed.
 */

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, sep } from 'node:path';

const root = join(import.meta.dirname, '..');
const words = process.argv.slice(2);
const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => `test/${file.split(sep).join('/')}`)
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort();
if (files.length === 0) throw new Error(`No test file matches ${words.join(', ')}.`);

const { status } = spawnSync(
  process.execPath,
  ['--import', './tools/typescript.mjs', '--test', '--test-timeout=600000', '--test-concurrency=2', ...files],
  { cwd: root, stdio: 'inherit' },
);
process.exitCode = status ?? 1;
