/** `sd knn2img`: pictures of a retrieval-augmented model from files, with and without neighbours, and what it refuses. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openAiClipConfigSchema } from '../../src/config/network-config.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeNpz } from '../../src/formats/npz.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { kl, randomTensors, randomWeights, yaml } from '../random-models.ts';
import { sd, temporaryFolder } from './run-cli.ts';

const clip = openAiClipConfigSchema.parse({
  kind: 'openai_clip',
  embed_dim: 32,
  image_resolution: 32,
  vision_layers: 1,
  vision_width: 64,
  vision_patch_size: 16,
  context_length: 77,
  vocab_size: 600,
  transformer_width: 64,
  transformer_heads: 1,
  transformer_layers: 1,
});

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

  const many = await run('-o', join(folder, 'no.png'), '--database', database, '--knn', '31');
  assert.match(many.err, /31 neighbours were asked for; the database has 30 rows/);
  await writeFileAtomic(join(folder, 'empty.npz'), [writeNpz({ embedding: generator.randn([0, 32]) })]);
  const empty = await run('-o', join(folder, 'no.png'), '--database', join(folder, 'empty.npz'));
  assert.match(empty.err, /The database has no rows/);
  assert.ok(!existsSync(join(folder, 'no.png')));
});
