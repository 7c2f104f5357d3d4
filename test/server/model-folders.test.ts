/** Folders as people have them: subfolders, links, A1111's and ComfyUI's trees, aliases of LoRAs. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { modelFolders } from '../../src/cli/server-options.ts';
import { writeNewFile } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { openAdapterCatalog } from '../../src/server/models/adapter-catalog.ts';
import { folderEntries } from '../../src/server/models/folder-entries.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { noFolders } from './no-folders.ts';

function tree(context: TestContext, files: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'sd-tree-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const file of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), '');
  }
  return folder;
}
const wanted = { endings: new Set(['.safetensors', '.ckpt']), what: 'models' };

test('subfolders are listed by their path; hidden files, sidecars and autoencoders of models are not', async (t) => {
  const folder = tree(t, [
    'b.ckpt',
    'anime/a.SAFETENSORS',
    'anime/deep/c.ckpt',
    'anime/a.vae.safetensors',
    'anime/a.civitai.info',
    'anime/a.preview.png',
    '.hidden/x.ckpt',
  ]);
  assert.deepEqual(
    (await folderEntries(folder, wanted)).map(({ name }) => name),
    ['anime/a', 'anime/deep/c', 'b'],
  );
});

test('linked folders are followed, and circles end', async (t) => {
  const folder = tree(t, ['own/a.ckpt']);
  const other = tree(t, ['b.ckpt']);
  symlinkSync(other, join(folder, 'shared'));
  symlinkSync(folder, join(folder, 'own/again'));
  assert.deepEqual(
    (await folderEntries(folder, wanted)).map(({ name }) => name),
    ['own/a', 'shared/b'],
  );
});

test('LoRAs are called by the name of their file, wherever it lies, and by the name they were trained under', async (t) => {
  const folder = tree(t, ['a/x.pt', 'b/x.pt']);
  const entry = { name: 'lora_unet_x.alpha', dtype: 'float32', shape: [1] } as const;
  const chunks = writeSafetensors([entry], () => float32([1], [1]), { metadata: { ss_output_name: 'my-style' } });
  await writeNewFile(join(folder, 'b/file.safetensors'), chunks);
  const catalog = await openAdapterCatalog({ lorasFolder: folder, onUnusable: () => {} });
  assert.deepEqual(
    catalog.loras().map(({ name }) => name),
    ['x', 'file', 'b/x'],
  );
  assert.equal(catalog.loraPath('my-style'), join(folder, 'b/file.safetensors'));
  assert.equal(catalog.loraPath('b/x'), join(folder, 'b/x.pt'));
});

test('the trees of A1111 and ComfyUI; a folder that is named counts before', (t) => {
  const a1111 = tree(t, [
    'models/Stable-diffusion/x.ckpt',
    'models/Lora/y.pt',
    'models/ControlNet/z.pth',
    'models/hypernetworks/h.pt',
  ]);
  assert.deepEqual(modelFolders({ ...noFolders, a1111 }), {
    modelsFolder: join(a1111, 'models/Stable-diffusion'),
    lorasFolder: join(a1111, 'models/Lora'),
    vaesFolder: undefined,
    embeddingsFolder: undefined,
    hypernetworksFolder: join(a1111, 'models/hypernetworks'),
    controlFolders: [join(a1111, 'models/ControlNet')],
    annotatorFolders: [],
  });
  const models = join(a1111, 'models/Stable-diffusion');
  assert.deepEqual(modelFolders({ ...noFolders, models }).controlFolders, [join(a1111, 'models/ControlNet')]);
  assert.equal(modelFolders({ ...noFolders, a1111, loras: 'mine' }).lorasFolder, 'mine');
  const comfyui = tree(t, ['models/checkpoints/x.ckpt', 'models/loras/y.pt']);
  assert.equal(modelFolders({ ...noFolders, comfyui }).modelsFolder, join(comfyui, 'models/checkpoints'));
  assert.throws(() => modelFolders({ ...noFolders, comfyui: a1111 }), /models\/checkpoints/);
});
