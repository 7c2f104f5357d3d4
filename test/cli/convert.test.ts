/** sd convert: layouts, element types, documents of diffusers folders. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeTensorFile } from '../../src/cli/tensor-file.ts';
import { huggingFaceNetwork } from '../../src/config/hugging-face-network.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';
import { sd, temporaryFolder } from './run-cli.ts';
import { pocket, tiny } from './cli-files.ts';

test('convert: a checkpoint to a diffusers folder and back is the same, tensor by tensor', async (context) => {
  const folder = temporaryFolder(context);
  const [plain, there, back] = [
    join(folder, 'plain.safetensors'),
    join(folder, 'diffusers'),
    join(folder, 'back.safetensors'),
  ];
  assert.equal((await sd(['convert', pocket, plain])).code, 0);
  assert.deepEqual(JSON.parse((await sd(['convert', pocket, there, '--layout', 'diffusers', '--json'])).out), {
    paths: [there],
  });
  assert.equal((await sd(['convert', there, back, '--layout', 'compvis'])).code, 0);
  const [original, first, second] = [readTensors(pocket), readTensors(plain), readTensors(back)];
  assert.deepEqual([...first.keys()].sort(), [...original.keys()].sort());
  for (const copy of [first, second]) {
    for (const [name, { dtype, shape, data }] of copy)
      assert.deepEqual({ dtype, shape, data }, { ...pick(original, name) }, name);
  }
  assert.equal(second.size, original.size);
  assert.ok(existsSync(join(folder, 'back.yaml')), 'the YAML keeps what names and shapes do not say');
  // The same pictures from all of them.
  const pictures = [];
  for (const model of [pocket, there, back]) {
    const latents = join(folder, 'l.safetensors');
    assert.equal(
      (
        await sd([
          'txt2img',
          'x',
          '--model',
          model,
          '--steps',
          '2',
          // The bundled model recommends another scale, which a diffusers folder does not keep.
          '--scale',
          '7.5',
          '--skip_save',
          '--outdir',
          folder,
          '--save-latents',
          latents,
          '--threads',
          '1',
        ])
      ).code,
      0,
    );
    pictures.push(pick(readTensors(latents), 'latents'));
  }
  assert.deepEqual(pictures[1], pictures[0]);
  assert.deepEqual(pictures[2], pictures[0]);
  assert.equal(
    (await sd(['convert', pocket, there, '--layout', 'diffusers'])).code,
    2,
    'a folder that is there is not written over',
  );
});

test('convert: the latent scale that a checkpoint keeps as a buffer is in the result, and not rounded', async (context) => {
  const folder = temporaryFolder(context);
  const [trained, half, there] = [
    join(folder, 'trained.safetensors'),
    join(folder, 'half.safetensors'),
    join(folder, 'diffusers'),
  ];
  // As `sd train` and CompVis leave it: the YAML says only that the scale was measured.
  const scale: Tensor = { dtype: 'float32', shape: [], data: Float32Array.of(0.7654321) };
  const tensors = new Map<string, Tensor>([...readTensors(pocket), ['scale_factor', scale]]);
  await writeTensorFile(trained, tensors, {});
  writeFileSync(
    join(folder, 'trained.yaml'),
    readFileSync(pocket.replace('.safetensors', '.yaml'), 'utf8').replace(/scale_factor: .*/, 'scale_by_std: true'),
  );
  assert.equal((await sd(['convert', trained, half, '--dtype', 'f16'])).code, 0);
  assert.deepEqual({ ...pick(readTensors(half), 'scale_factor') }, scale);
  assert.equal((await sd(['convert', half, there, '--layout', 'diffusers'])).code, 0);
  assert.equal(JSON.parse(readFileSync(join(there, 'vae/config.json'), 'utf8')).scaling_factor, Math.fround(0.7654321));
});

test('convert: the documents of a diffusers folder say what was there', async (context) => {
  const there = join(temporaryFolder(context), 'diffusers');
  assert.equal(
    (
      await sd([
        'convert',
        reference('diffusion/pipelines/tiny-inpaint.ckpt'),
        there,
        '--layout',
        'diffusers',
        '--dtype',
        'bf16',
      ])
    ).code,
    0,
  );
  const json = (path: string) => JSON.parse(readFileSync(join(there, path), 'utf8'));
  assert.equal(json('model_index.json')._class_name, 'StableDiffusionInpaintPipeline');
  const unet = huggingFaceNetwork(json('unet/config.json'), 'unet');
  assert.equal(unet.kind === 'unet' && unet.in_channels, 9);
  assert.equal(json('vae/config.json').scaling_factor, 0.18215);
  assert.ok(
    [...readTensors(join(there, 'unet/diffusion_pytorch_model.safetensors')).values()].every(
      ({ dtype }) => dtype === 'bfloat16',
    ),
  );
});

test('convert: one network, in both layouts and in other element types', async (context) => {
  const folder = temporaryFolder(context);
  const weights = reference('networks/kl_sd/weights.safetensors');
  const config = reference('networks/kl_sd/config.yaml');
  mkdirSync(join(folder, 'vae'));
  const [vae, half, again] = [
    join(folder, 'vae/diffusion_pytorch_model.safetensors'),
    join(folder, 'half.safetensors'),
    join(folder, 'again.safetensors'),
  ];
  assert.equal((await sd(['convert', weights, vae, '--layout', 'diffusers', '--config', config])).code, 0);
  assert.deepEqual(
    [...readTensors(vae).keys()].sort(),
    [...readTensors(reference('networks/kl_sd_diffusers/weights.safetensors')).keys()].sort(),
  );
  assert.equal((await sd(['convert', join(folder, 'vae'), again, '--layout', 'compvis'])).code, 0);
  const original = readTensors(weights);
  for (const [name, { data }] of readTensors(again))
    assert.deepEqual(data, pick(original, `first_stage_model.${name}`).data, name);
  assert.equal((await sd(['convert', weights, half, '--dtype', 'f16'])).code, 0);
  assert.ok([...readTensors(half).values()].every(({ dtype }) => dtype === 'float16'));
});

test('convert: what cannot be is refused, and nothing is left', async (context) => {
  const folder = temporaryFolder(context);
  assert.equal((await sd(['convert', tiny, tiny])).code, 2);
  assert.equal((await sd(['convert', tiny, join(folder, 'x.safetensors'), '--ema'])).code, 1, 'no averaged weights');
  assert.equal((await sd(['convert', tiny, join(folder, 'x.safetensors'), '--layout', 'diffusers'])).code, 2);
  assert.equal(
    (await sd(['convert', reference('files/ckpt/evil-os-system.ckpt'), join(folder, 'x.safetensors')])).code,
    1,
  );
  const { readdirSync } = await import('node:fs');
  assert.deepEqual(readdirSync(folder), []);
});
