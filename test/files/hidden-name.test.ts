/** What macOS and NAS devices leave in folders is no file of the person's: every reader of a folder passes over it. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { splitFilesIn } from '../../src/checkpoints/split-files-node.ts';
import { isHiddenName } from '../../src/files/hidden-name.ts';
import { writeNpz } from '../../src/formats/npz.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { openRetrievalDatabase } from '../../src/model/load-retrieval-node.ts';
import { folderEntries } from '../../src/server/models/folder-entries.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { shardNames } from '../../src/training/data/shard-names-node.ts';

/** The header of an AppleDouble file. */
const appleDouble = Uint8Array.of(0, 5, 22, 7, 0, 2, 0, 0);

function folderOf(context: TestContext, files: Readonly<Record<string, Uint8Array>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'sd-hidden-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), bytes);
  }
  return folder;
}

test('hidden names', () => {
  for (const name of ['.DS_Store', '._a.tar', '__MACOSX', '@eaDir', '#recycle', 'System Volume Information'])
    assert.equal(isHiddenName(name), true, name);
  for (const name of ['a.png', '_a', '__init__', '@a', 'a.b']) assert.equal(isHiddenName(name), false, name);
});

test("AppleDouble files beside shards, databases, parts of models and a server's files are passed over", async (context) => {
  const shards = folderOf(context, { '._0.tar': appleDouble, '0.tar': new Uint8Array(1024) });
  assert.deepEqual(await shardNames(shards), [join(shards, '0.tar')]);

  const rows = writeNpz({ embedding: float32([1, 2], [3, 4]) });
  const database = folderOf(context, { '._part.npz': appleDouble, 'part.npz': rows });
  assert.equal((await openRetrievalDatabase(database)).parts.length, 1);

  const parts = folderOf(context, {
    'diffusion_models/._u.safetensors': appleDouble,
    'diffusion_models/u.safetensors': appleDouble,
    'text_encoders/._t.safetensors': appleDouble,
    'text_encoders/t.safetensors': appleDouble,
    'vae/._v.safetensors': appleDouble,
    'vae/v.safetensors': appleDouble,
  });
  const split = await splitFilesIn(parts);
  assert.ok(split);
  assert.doesNotMatch(JSON.stringify(split), /\._/);

  const tensor = float32([1], [5]);
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeSafetensors([{ name: 'x', dtype: 'float32', shape: [1] }], async () => tensor))
    chunks.push(chunk);
  const weights = folderOf(context, { '._own.safetensors': appleDouble, 'own.safetensors': Buffer.concat(chunks) });
  const source = await openWeightsAt(weights);
  assert.deepEqual([...source.entries.keys()], ['x']);
  await source.close();

  const models = folderOf(context, { '__MACOSX/a.safetensors': appleDouble, 'a.safetensors': appleDouble });
  const found = await folderEntries(models, { endings: new Set(['.safetensors']), what: 'models' });
  assert.deepEqual(
    found.map(({ name }) => name),
    ['a'],
  );
});
