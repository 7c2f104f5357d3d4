/** One model of several files: checkpoints without an autoencoder, UNets alone, a VAE beside a model. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { writeNewFile } from '../../src/files/write-file-node.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { withNames } from '../../src/weights/view.ts';
import { sd } from '../cli/run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-parts-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const models = join(import.meta.dirname, '../../models');
const pocket = join(models, 'pocket.safetensors');

/** A file of some of the model's tensors. */
async function cut(name: string, rename: (tensor: string) => string | undefined): Promise<string> {
  const source = await openWeightsAt(pocket);
  const part = withNames(source, rename);
  const path = join(folder, name);
  await writeNewFile(
    path,
    writeSafetensors(part.entries.values(), ({ name: tensor }) => part.read(tensor)),
  );
  await source.close();
  copyFileSync(join(models, 'pocket.yaml'), path.replace(/(\.vae)?\.safetensors$/, '.yaml'));
  return path;
}
const without = (prefix: string) => (name: string) => (name.startsWith(prefix) ? undefined : name);
const only = (prefix: string) => (name: string) => (name.startsWith(prefix) ? name.slice(prefix.length) : undefined);

const noVae = await cut('no-vae.safetensors', without('first_stage_model.'));
const vae = await cut('vae.safetensors', only('first_stage_model.'));
const unet = await cut('unet.safetensors', only('model.diffusion_model.'));
const text = await cut('text.safetensors', only('cond_stage_model.'));

test('a checkpoint without an autoencoder, with one given', async () => {
  await assert.rejects(openCheckpointAt(noVae), { code: 'weights-mismatch', message: /autoencoder.*--vae/ });
  const checkpoint = await openCheckpointAt(noVae, { vae });
  assert.equal(checkpoint.parts.first_stage.entries.size, 184);
  await checkpoint.close();
});

test('a UNet alone, with autoencoder and text encoder given, makes the picture of the whole model', async () => {
  const quick = ['a red apple', '--steps', '2', '--quiet', '--json'];
  const parts = ['--model', unet, '--vae', vae, '--text-encoder', text];
  const [whole, made] = [
    await sd(['txt2img', ...quick, '--output', join(folder, 'whole.png')]),
    await sd(['txt2img', ...quick, ...parts, '--output', join(folder, 'parts.png')]),
  ];
  assert.equal(made.code, 0, made.out);
  assert.equal(whole.code, 0);
  const { nodeImageCodec } = await import('../../src/image/codec/codec-node.ts');
  const { readFileSync } = await import('node:fs');
  const pixels = async (name: string) => (await nodeImageCodec.decode(readFileSync(join(folder, name)))).data;
  assert.deepEqual(await pixels('parts.png'), await pixels('whole.png'));
});

test('of a whole checkpoint given as --vae its autoencoder is taken; another network is refused by what it is', async () => {
  const checkpoint = await openCheckpointAt(noVae, { vae: pocket });
  assert.equal(checkpoint.parts.first_stage.entries.size, 184);
  await checkpoint.close();
  await assert.rejects(openCheckpointAt(noVae, { vae: text }), {
    code: 'model-unknown',
    message: /text encoder alone/,
  });
  await assert.rejects(openCheckpointAt(vae), { code: 'model-unknown', message: /autoencoder \(VAE\) alone.*--vae/ });
});

test('NAME.vae.safetensors next to a model is its autoencoder, which is said', async () => {
  copyFileSync(vae, join(folder, 'no-vae.vae.safetensors'));
  const checkpoint = await openCheckpointAt(noVae);
  assert.match(checkpoint.assumed.join(), /no-vae\.vae\.safetensors/);
  await checkpoint.close();
  rmSync(join(folder, 'no-vae.vae.safetensors'));
});
