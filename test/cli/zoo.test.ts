/** Models of latent-diffusion's zoo make pictures by one command each: super-resolution, maps, classes, masks, boxes. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { randomTensors, vq, yaml } from '../random-models.ts';
import { sd, temporaryFolder } from './run-cli.ts';

const plain = 'in_channels: 3, out_channels: 3, num_heads: 4';
const joined = 'out_channels: 3, num_heads: 4';
const attending = `${plain}, use_spatial_transformer: true, transformer_depth: 1, context_dim: 32`;

/** The UNet, the condition and further parameters of each model. */
const models = {
  superResolution: [`in_channels: 6, ${joined}`, '{target: torch.nn.Identity}', ''],
  map: [
    `in_channels: 6, ${joined}`,
    '{target: ldm.modules.encoders.modules.SpatialRescaler, params: {n_stages: 1, in_channels: 5, out_channels: 3}}',
    '',
  ],
  classes: [
    attending,
    '{target: ldm.modules.encoders.modules.ClassEmbedder, params: {n_classes: 1001, embed_dim: 32}}',
    ', conditioning_key: crossattn',
  ],
  mask: [`in_channels: 7, ${joined}`, '__is_first_stage__', ', concat_mode: true'],
  boxes: [
    attending,
    '{target: ldm.modules.encoders.modules.BERTEmbedder, params: {n_embed: 32, n_layer: 1, vocab_size: 8192, max_seq_len: 92, use_tokenizer: false}}',
    ', conditioning_key: crossattn',
  ],
} as const;

test('a folder of pictures with masks: each under its name, and those that are there stay', async (context) => {
  const folder = temporaryFolder(context);
  const image = createImage(16, 16, 3);
  for (const [i, name] of ['a', 'a_mask', 'b', 'b_mask', 'c'].entries()) {
    image.data.fill(40 * i);
    writeFileSync(join(folder, `${name}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
  }
  const [unet, condition, more] = models.mask;
  const document = yaml({ params: `channels: 3, use_ema: false${more}`, unet, stage: vq, condition });
  const source = memoryWeights(randomTensors(document));
  const [file, outdir] = [join(folder, 'model.safetensors'), join(folder, 'out')];
  writeFileSync(join(folder, 'model.yaml'), document);
  await writeFileAtomic(
    file,
    writeSafetensors(source.entries.values(), (entry) => source.read(entry.name)),
  );
  const run = () =>
    sd(['inpaint', '--indir', folder, '--ckpt', file, '--steps', '1', '--threads', '1', '--outdir', outdir]);
  const made = await run();
  assert.equal(made.code, 0, made.err);
  assert.deepEqual(readdirSync(outdir).sort(), ['a.png', 'b.png']);
  const first = readFileSync(join(outdir, 'a.png'));
  writeFileSync(join(outdir, 'b.png'), 'kept');
  assert.equal((await run()).code, 0);
  assert.deepEqual(readFileSync(join(outdir, 'a.png')), first);
  assert.equal(readFileSync(join(outdir, 'b.png'), 'utf8'), 'kept');
  rmSync(join(folder, 'b.png'));
  assert.match((await run()).err, /has a mask for b\.png, and no picture of this name/);
});

test('each model makes a picture by its command', async (context) => {
  const folder = temporaryFolder(context);
  const image = createImage(16, 16, 3);
  image.data.fill(1);
  const picture = join(folder, 'picture.png');
  writeFileSync(picture, await nodeImageCodec.encode(image, { format: 'png' }));
  const commands: { readonly [K in keyof typeof models]: readonly string[] } = {
    superResolution: ['img2img', '--init-img', picture],
    map: ['img2img', '--init-img', picture],
    classes: ['sample', '--count', '2', '--npz'],
    mask: ['inpaint', '--init-img', picture, '--mask', picture],
    boxes: ['txt2img', '--box', '12,0.1,0.2,0.5,0.5'],
  };
  for (const [name, [unet, condition, more]] of Object.entries(models)) {
    const document = yaml({ params: `channels: 3, use_ema: false${more}`, unet, stage: vq, condition });
    const source = memoryWeights(randomTensors(document));
    const file = join(folder, `${name}.safetensors`);
    writeFileSync(join(folder, `${name}.yaml`), document);
    await writeFileAtomic(
      file,
      writeSafetensors(source.entries.values(), (entry) => source.read(entry.name)),
    );
    const [command = '', ...words] = commands[name as keyof typeof models];
    const outdir = join(folder, name);
    const run = await sd([command, ...words, '--ckpt', file, '--steps', '2', '--threads', '1', '--outdir', outdir]);
    assert.equal(run.code, 0, `${name}: ${run.err}`);
    assert.ok(existsSync(run.out.trim().split('\n').at(-1) ?? ''), `${name}: ${run.out}`);
  }
});
