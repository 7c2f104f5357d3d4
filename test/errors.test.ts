/** The one error class: an error of another copy of the package is one of ours, and nothing else is. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { StableDiffusionError } from '../src/errors.ts';

test('an error of a second copy of the package is a StableDiffusionError', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'errors-'));
  t.after(() => rm(folder, { recursive: true }));
  const outfile = join(folder, 'errors.mjs');
  await build({ entryPoints: ['src/errors.ts'], bundle: true, format: 'esm', outfile });
  const copy = (await import(pathToFileURL(outfile).href)) as typeof import('../src/errors.ts');
  assert.notEqual(copy.StableDiffusionError, StableDiffusionError);
  assert.ok(new copy.StableDiffusionError('busy', 'Come back later.') instanceof StableDiffusionError);
});

test('other values are not', () => {
  for (const value of [new Error('no'), { name: 'StableDiffusionError', code: 'busy' }, null, undefined, 'busy'])
    assert.ok(!((value as unknown) instanceof StableDiffusionError));
});
