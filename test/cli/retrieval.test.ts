/** `sd knn2img`: pictures of a retrieval-augmented model from files, with and without neighbours, and what it refuses. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nearestRows } from '../../src/conditioning/retrieval.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeNpz } from '../../src/formats/npz.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { openRetrievalDatabase } from '../../src/model/load-retrieval-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { clip, kl, randomTensors, randomWeights, yaml } from '../random-models.ts';
import { sd, temporaryFolder } from './run-cli.ts';

const document = yaml({
  params: 'channels: 4, conditioning_key: crossattn, use_ema: false',
  unet: 'in_channels: 4, out_channels: 4, num_heads: 4, use_spatial_transformer: true, transformer_depth: 1, context_dim: 32',
  stage: kl,
  condition: '{target: torch.nn.Identity}',
});

async function writeTensors(path: string, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
  const source = memoryWeights(tensors);
  await writeFileAtomic(
    path,
    writeSafetensors(source.entries.values(), ({ name }) => source.read(name)),
  );
}

test('knn2img makes pictures of a prompt and its neighbours, other ones than of the prompt alone', async (context) => {
  const folder = temporaryFolder(context);
  const [model, clipFile, database] = ['rdm.safetensors', 'clip.safetensors', 'rows.npz'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  writeFileSync(join(folder, 'rdm.yaml'), document);
  await writeTensors(model, randomTensors(document));
  await writeTensors(clipFile, new Map(randomWeights(clip, '', new TorchGenerator(3))));
  const generator = new TorchGenerator(4);
  await writeFileAtomic(database, [
    writeNpz({
      embedding: generator.randn([30, 32]),
      img_id: { dtype: 'int64', shape: [30], data: BigInt64Array.from({ length: 30 }, (_, i) => BigInt(1000 + i)) },
    }),
  ]);
  const run = (...more: string[]) =>
    sd([
      ...['knn2img', 'a red house', '--ckpt', model, '--clip', clipFile, '--threads', '1', '--steps', '2'],
      ...['--H', '16', '--W', '16', '--no-watermark', ...more],
    ]);
  const [alone, near] = [join(folder, 'alone.png'), join(folder, 'near.png')];
  const first = await run('-o', alone);
  assert.equal(first.code, 0, first.err);
  const second = await run('-o', near, '--database', database, '--knn', '3');
  assert.equal(second.code, 0, second.err);
  assert.match(second.err, /neighbours: 10\d\d, 10\d\d, 10\d\d\n/);
  assert.notDeepEqual(readFileSync(alone), readFileSync(near));

  // A picture in place of the prompt.
  const image = createImage(24, 20, 3);
  for (let at = 0; at < image.data.length; at++) image.data[at] = (at * 5) % 256;
  writeFileSync(join(folder, 'query.png'), await nodeImageCodec.encode(image, { format: 'png' }));
  const [lone, sought] = [join(folder, 'lone.png'), join(folder, 'sought.png')];
  const asked = (...more: string[]) =>
    sd([
      ...['knn2img', '--query-image', join(folder, 'query.png'), '--ckpt', model, '--clip', clipFile, '--threads', '1'],
      ...['--steps', '2', '--H', '16', '--W', '16', '--no-watermark', ...more],
    ]);
  const byPicture = await asked('-o', lone);
  assert.equal(byPicture.code, 0, byPicture.err);
  const found = await asked('-o', sought, '--database', database, '--knn', '3');
  assert.match(found.err, /neighbours: 10\d\d, 10\d\d, 10\d\d\n/);
  assert.notEqual(/neighbours.*/.exec(found.err)?.[0], /neighbours.*/.exec(second.err)?.[0]);
  assert.equal(new Set([alone, near, lone, sought].map((path) => readFileSync(path, 'base64'))).size, 4);
  assert.match((await asked('a house', '-o', join(folder, 'no.png'))).err, /in place of the prompt/);

  const many = await run('-o', join(folder, 'no.png'), '--database', database, '--knn', '31');
  assert.match(many.err, /31 neighbours were asked for; the database has 30 rows/);
  await writeFileAtomic(join(folder, 'empty.npz'), [writeNpz({ embedding: generator.randn([0, 32]) })]);
  const empty = await run('-o', join(folder, 'no.png'), '--database', join(folder, 'empty.npz'));
  assert.match(empty.err, /The database has no rows/);
  assert.ok(!existsSync(join(folder, 'no.png')));
});

test('a database is made of a folder of pictures, goes on where it was, and is searched by its names', async (context) => {
  const folder = temporaryFolder(context);
  const [pictures, clipFile] = [join(folder, 'pictures'), join(folder, 'clip.safetensors')];
  mkdirSync(pictures);
  await writeTensors(clipFile, new Map(randomWeights(clip, '', new TorchGenerator(3))));
  for (let i = 0; i < 7; i++) {
    const image = createImage(24, 16 + i, 3);
    for (let at = 0; at < image.data.length; at++) image.data[at] = (at * (i + 3)) % 256;
    writeFileSync(join(pictures, `picture-${i}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
  }
  const run = (out: string) =>
    sd(['database', pictures, '--clip', clipFile, '--outdir', join(folder, out), '--rows', '3', '--threads', '1']);
  const whole = await run('whole');
  assert.equal(whole.code, 0, whole.err);
  assert.match(whole.out, /whole 7 rows/);
  const names = readdirSync(join(folder, 'whole')).sort();
  assert.deepEqual(names, ['part-00000.npz', 'part-00001.npz', 'part-00002.npz']);
  await run('parts');
  for (const name of names.slice(1)) rmSync(join(folder, 'parts', name));
  assert.match((await run('parts')).out, /parts 7 rows/);
  for (const name of names)
    assert.ok(readFileSync(join(folder, 'parts', name)).equals(readFileSync(join(folder, 'whole', name))), name);

  const found = await openRetrievalDatabase(join(folder, 'whole'));
  assert.deepEqual([found.rows, found.width], [7, 32]);
  const second = found.parts[1];
  assert.ok(second);
  const query = { ...second.embedding, shape: [1, 32], data: second.embedding.data.slice(32, 64) };
  const near = nearestRows(found, query, 2);
  assert.equal(near.imageIds[0]?.[0], 'picture-4.png');
  assert.deepEqual(Array.from(near.patches?.data ?? [], Number).slice(0, 4), [0, 0, 24, 20]);
});
