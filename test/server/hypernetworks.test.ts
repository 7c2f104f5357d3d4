/** Hypernetworks in prompts as A1111 v1.10.1 takes them, and in the library. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { writeNewFile } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { loadModel, pictures, textToImage } from '../../src/index.ts';
import { modelFolders } from '../../src/cli/server-options.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { decode, startTestServer, type TestServer } from './start.ts';
import { noFolders } from './no-folders.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-hypernetworks-'));
const file = join(folder, 'style.safetensors');
/** Width of the bundled model's context. */
const width = 128;
let server: TestServer;
before(async () => {
  const generator = new TorchGenerator(0);
  const entries = ['0', '1'].flatMap((module) => [
    { name: `${width}/${module}/linear.0.weight`, dtype: 'float32' as const, shape: [width, width] },
    { name: `${width}/${module}/linear.0.bias`, dtype: 'float32' as const, shape: [width] },
  ]);
  await writeNewFile(
    file,
    writeSafetensors(entries, ({ shape }) => generator.randn([...shape])),
  );
  server = await startTestServer({ hypernetworksFolder: folder });
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const small = { width: 64, height: 64, steps: 2, seed: 1 };

async function make(prompt: string, more: object = {}) {
  const { status, body } = await server.json('POST', '/sdapi/v1/txt2img', { ...small, prompt, ...more });
  assert.equal(status, 200, JSON.stringify(body));
  const { images, info } = body as { images: string[]; info: string };
  const { warnings } = JSON.parse(info) as { warnings: string[] };
  return { pixels: (await decode(images[0] ?? '')).data, warnings };
}

test('the list has the files of the folder', async () => {
  assert.deepEqual((await server.json('GET', '/sdapi/v1/hypernetworks')).body, [
    { name: 'style', path: 'style.safetensors' },
  ]);
});

test('a hypernetwork changes the picture by its strength, alone and under further additions', async () => {
  const plain = (await make('face')).pixels;
  const { pixels: strong, warnings } = await make('face<hypernet:style:0.1>');
  assert.deepEqual(warnings, []);
  assert.notDeepEqual(strong, plain);
  assert.notDeepEqual((await make('face<hypernet:style:0.05>')).pixels, strong);
  assert.deepEqual((await make('face<hypernet:style:0>')).pixels, plain);
  assert.notDeepEqual((await make('face<hypernet:style:0.1><hypernet:style:0.1>')).pixels, strong, 'applied twice');
  const tiled = { tiling: true };
  assert.notDeepEqual((await make('face<hypernet:style:0.1>', tiled)).pixels, (await make('face', tiled)).pixels);
});

test('one that is not there, or whose strength is no number, is left out and named', async () => {
  const plain = (await make('face')).pixels;
  for (const [prompt, warning] of [
    ['face<hypernet:nosuch:1>', /^Hypernetwork not found: nosuch$/],
    ['face<hypernet:style:abc>', /style:abc.*not a number/],
  ] as const) {
    const made = await make(prompt);
    assert.deepEqual(made.pixels, plain);
    assert.equal(made.warnings.length, 1);
    assert.match(made.warnings[0] ?? '', warning);
  }
});

test('the library: given to loadModel, named in records', async () => {
  const picture = async (options: object) => {
    await using model = await loadModel(undefined, options);
    const [made] = await pictures(textToImage(model, { ...small, prompt: 'face' }));
    return { data: made?.image.data, adapters: made?.record.adapters };
  };
  const [plain, changed] = [await picture({}), await picture({ hypernetworks: [{ path: file, scale: 0.1 }] })];
  assert.notDeepEqual(changed.data, plain.data);
  assert.deepEqual(changed.adapters, ['hypernet:style:0.1']);
});

test('the folder lies beside the models', () => {
  const root = mkdtempSync(join(tmpdir(), 'sd-models-'));
  const values = { ...noFolders, models: join(root, 'models') };
  assert.equal(modelFolders(values).hypernetworksFolder, undefined);
  mkdirSync(join(root, 'hypernetworks'));
  assert.equal(modelFolders(values).hypernetworksFolder, join(root, 'hypernetworks'));
  rmSync(root, { recursive: true });
});
