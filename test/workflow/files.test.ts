/** A workflow from its text to a PNG on disk with the model that ships: names, numbering, what pictures carry, names that leave the folder. */

import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { openWorkflowContext, workflowFolders } from '../../src/workflow/context-node.ts';
import { runWorkflow } from '../../src/workflow/run-workflow-node.ts';

const root = await mkdtemp(join(tmpdir(), 'sd-workflow-'));
const folders = workflowFolders(root);
const checkpoints = join(root, 'models/checkpoints');
await mkdir(checkpoints, { recursive: true });
await copyFile(pocketModel, join(checkpoints, 'pocket.safetensors'));
await copyFile(pocketModel.replace('.safetensors', '.yaml'), join(checkpoints, 'pocket.yaml'));
const engine = createNodeEngine({ threads: 1 });
const context = openWorkflowContext({ folders, engine });
after(async () => {
  await context.networks.dispose();
  await engine.dispose();
  await rm(root, { recursive: true });
});

const workflow = (prefix: string): string =>
  JSON.stringify({
    3: {
      class_type: 'KSampler',
      inputs: {
        model: ['4', 0],
        seed: 42,
        steps: 1,
        cfg: 7,
        sampler_name: 'euler',
        scheduler: 'normal',
        positive: ['6', 0],
        negative: ['7', 0],
        latent_image: ['5', 0],
        denoise: 1,
      },
    },
    4: { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'pocket.safetensors' } },
    5: { class_type: 'EmptyLatentImage', inputs: { width: 64, height: 64, batch_size: 2 } },
    6: { class_type: 'CLIPTextEncode', inputs: { clip: ['4', 1], text: 'a red apple' } },
    7: { class_type: 'CLIPTextEncode', inputs: { clip: ['4', 1], text: '' } },
    8: { class_type: 'VAEDecode', inputs: { samples: ['3', 0], vae: ['4', 2] } },
    9: { class_type: 'SaveImage', inputs: { images: ['8', 0], filename_prefix: prefix } },
  });

test('the default workflow writes numbered pictures that carry it', async () => {
  const { outputs } = await runWorkflow(workflow('a/b %width%'), { context, extraPngInfo: { workflow: { id: 'x' } } });
  assert.deepEqual(outputs['9']?.['images'], [
    { filename: 'b 64_00001_.png', subfolder: 'a', type: 'output' },
    { filename: 'b 64_00002_.png', subfolder: 'a', type: 'output' },
  ]);
  assert.deepEqual((await readdir(join(folders.output, 'a'))).sort(), ['b 64_00001_.png', 'b 64_00002_.png']);
  const { texts } = readImageMetadata(await readFile(join(folders.output, 'a', 'b 64_00001_.png')));
  assert.match(texts.get('prompt') ?? '', /"cfg": 7\.0, /);
  assert.equal(texts.get('workflow'), '{"id": "x"}');
  const again = await runWorkflow(workflow('a/b %width%'), { context });
  assert.deepEqual(again.outputs['9']?.['images']?.[0], {
    filename: 'b 64_00003_.png',
    subfolder: 'a',
    type: 'output',
  });
});

for (const prefix of ['../out', '/tmp/x', 'a/../../x', 'a\u0000b'])
  test(`a prefix that leaves the folder is refused: ${JSON.stringify(prefix)}`, async () => {
    await assert.rejects(runWorkflow(workflow(prefix), { context }), { code: 'forbidden' });
  });

test('a link in the folder leads to no new folder outside of it', async () => {
  const outside = await mkdtemp(join(tmpdir(), 'sd-outside-'));
  await symlink(outside, join(folders.output, 'link'));
  const { files } = context;
  await assert.rejects(files.write('output', 'link/new', 'x.png', new Uint8Array(1)), { code: 'forbidden' });
  assert.deepEqual(await readdir(outside), []);
  await rm(outside, { recursive: true });
});

test('a latent that no machine holds is refused in one line', async () => {
  const huge = workflow('huge').replace(
    '"width":64,"height":64,"batch_size":2',
    '"width":16384,"height":16384,"batch_size":4096',
  );
  await assert.rejects(runWorkflow(huge, { context }), {
    code: 'too-large',
    message: /Node 5 \(EmptyLatentImage\): This node needs about \d+ MB/,
  });
});

/** Pictures of an empty graph of two, with this prefix. */
async function saved(prefix: string): Promise<unknown> {
  const graph = {
    a: { class_type: 'EmptyImage', inputs: { width: 8, height: 8, batch_size: 2, color: 0 } },
    o: { class_type: 'SaveImage', inputs: { images: ['a', 0], filename_prefix: prefix } },
  };
  const { outputs } = await runWorkflow(JSON.stringify(graph), { context });
  return outputs['o']?.['images']?.map((one) =>
    Object.values(one as object)
      .slice(0, 2)
      .join('|'),
  );
}

test('pictures that are named by their place in the batch are numbered on', async () => {
  assert.deepEqual(await saved('n%batch_num%x'), ['n0x_00001_.png|', 'n1x_00002_.png|']);
  assert.deepEqual(await saved('n%batch_num%x'), ['n0x_00003_.png|', 'n1x_00004_.png|']);
});

test('a prefix that leaves the folder and comes back names the folder itself', async () => {
  assert.deepEqual(await saved('../output/in/y'), ['y_00001_.png|in', 'y_00002_.png|in']);
  assert.deepEqual(await saved('q/../../output/z'), ['z_00001_.png|', 'z_00002_.png|']);
});
