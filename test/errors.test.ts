/** The one error class: an error of another copy of the package is one of ours, and nothing else is. */

import assert from 'node:assert/strict';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { StableDiffusionError } from '../src/errors.ts';

const sources = join(import.meta.dirname, '../src');

test('an error of a second copy of the package is a StableDiffusionError', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'errors-'));
  t.after(() => rm(folder, { recursive: true }));
  for (const name of ['errors.ts', 'visible.ts']) await cp(join(sources, name), join(folder, name));
  const address = pathToFileURL(join(folder, 'errors.ts')).href;
  const copy = (await import(address)) as typeof import('../src/errors.ts');
  assert.notEqual(copy.StableDiffusionError, StableDiffusionError);
  assert.ok(new copy.StableDiffusionError('busy', 'Come back later.') instanceof StableDiffusionError);
});

test('other values are not', () => {
  for (const value of [new Error('no'), { name: 'StableDiffusionError', code: 'busy' }, null, undefined, 'busy'])
    assert.ok(!((value as unknown) instanceof StableDiffusionError));
});
