/** OptionsStore's file: kept over a restart, its owner's alone, whole whatever is set at once; one that is damaged is begun anew. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openOptionsStore } from '../../src/server/options-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-options-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('what callers have set is there after a restart, in a file that only its owner reads', async () => {
  const path = join(folder, 'data', 'options.json');
  const store = await openOptionsStore(path);
  await Promise.all([
    store.set('ann', { samples_format: 'webp' }),
    store.set('ann', { jpeg_quality: 90 }),
    store.set('bob', { samples_format: 'png' }),
  ]);
  assert.deepEqual(readdirSync(join(folder, 'data')), ['options.json']);
  if (process.platform !== 'win32') assert.equal(statSync(path).mode & 0o777, 0o600);
  const again = await openOptionsStore(path);
  assert.deepEqual(again.get('ann'), { samples_format: 'webp', jpeg_quality: 90 });
  assert.deepEqual(again.get('bob'), { samples_format: 'png' });
  assert.deepEqual(again.get('eve'), {});
});

test('a damaged file is begun anew, and is moved aside', async () => {
  const path = join(folder, 'options.json');
  writeFileSync(path, '{"ann": {');
  const moved: string[] = [];
  const store = await openOptionsStore(path, (aside) => moved.push(aside));
  assert.equal(readFileSync(moved[0] ?? '', 'utf8'), '{"ann": {');
  assert.deepEqual(store.get('ann'), {});
  await store.set('ann', { samples_format: 'jpg' });
  assert.deepEqual((await openOptionsStore(path)).get('ann'), { samples_format: 'jpg' });
});

test('a file that cannot be read is not replaced', async () => {
  const path = join(folder, 'no-file.json');
  mkdirSync(path);
  await assert.rejects(openOptionsStore(path), { code: 'file-access', message: /is a folder/ });
});
