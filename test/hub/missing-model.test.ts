/** What is said of a model at whose path nothing lies. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openFile } from '../../src/files/byte-source-node.ts';
import { imageFolder } from '../../src/training/data/folder-node.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import { missingModel } from '../../src/hub/missing-model-node.ts';
import { modelPath } from '../../src/hub/pull-node.ts';

function folderOf(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sd-missing-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'models'));
  for (const name of ['pocket.safetensors', 'v1-5-pruned.ckpt', 'notes.txt'])
    writeFileSync(join(folder, 'models', name), '');
  return join(folder, 'models');
}

test('a file with another ending, and a mistyped one, are named', async (context) => {
  const folder = folderOf(context);
  for (const [given, meant] of [
    ['pocket', 'pocket.safetensors'],
    ['Pocket.ckpt', 'pocket.safetensors'],
    ['v1-5-pruned.safetensors', 'v1-5-pruned.ckpt'],
    ['pocket.safetensor', 'pocket.safetensors'],
    ['v15-pruned.ckpt', 'v1-5-pruned.ckpt'],
  ] as const) {
    const error = await missingModel(join(folder, given));
    assert.match(error?.message ?? '', new RegExp(`does not exist\\. Did you mean .*${meant}`), given);
    assert.equal(error?.code, 'file-not-found');
  }
  for (const given of ['notes', 'another.safetensors', 'deeper/pocket'])
    assert.equal(await missingModel(join(folder, given)), undefined);
});

test('a link whose file is gone is said to be one, and is not proposed in its own place', async (context) => {
  const path = join(folderOf(context), 'linked.safetensors');
  symlinkSync('../blobs/0123abcd', path);
  assert.equal(await missingModel(path), undefined);
  const expected = {
    code: 'file-not-found',
    message: /linked\.safetensors is a link to \.\.\/blobs\/0123abcd, which does not exist/,
  };
  await assert.rejects(openFile(path), expected);
});

test('a file where a folder is needed is there, and not missing', async (context) => {
  const path = join(folderOf(context), 'notes.txt');
  const given = imageFolder(path, { problems: createProblems() });
  await assert.rejects(given, { code: 'file-access', message: /notes\.txt is a file, and a folder is needed/ });
  await assert.rejects(openFile(join(path, 'x')), { code: 'file-not-found' });
});

test('a short name is near, or the kinds of names are said', async () => {
  assert.match((await missingModel('sd-v15'))?.message ?? '', /Did you mean sd-v1-5/);
  assert.match((await missingModel('sdv1.5'))?.message ?? '', /Did you mean sd-v1-5/);
  assert.match(
    (await missingModel('zzzzzzzz'))?.message ?? '',
    /neither a file here nor the name of a model.*ORG\/NAME.*sd-v1-5/,
  );
});

test('a local file is meant before a repository of the same form, and nothing is asked of the network', async (context) => {
  const folder = folderOf(context);
  const before = process.cwd();
  process.chdir(join(folder, '..'));
  try {
    await assert.rejects(modelPath('models/pocket'), {
      code: 'file-not-found',
      message: /Did you mean models\/pocket\.safetensors\?/,
    });
  } finally {
    process.chdir(before);
  }
});
