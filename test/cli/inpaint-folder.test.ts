/** `sd inpaint --indir` with latent-diffusion's `inpainting_big`: a folder of pictures with their masks. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { maskModel } from '../published-files.ts';
import { writeTensors } from '../published-folders.ts';
import { randomTensors } from '../random-models.ts';
import { sd, temporaryFolder } from './run-cli.ts';

test('a folder of pictures with masks: each under its name, and those that are there stay', async (context) => {
  const folder = temporaryFolder(context);
  const image = createImage(16, 16, 3);
  for (const [i, name] of ['a', 'a_mask', 'b', 'b_mask', 'c'].entries()) {
    image.data.fill(40 * i);
    writeFileSync(join(folder, `${name}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
  }
  const [file, outdir] = [join(folder, 'model.safetensors'), join(folder, 'out')];
  writeFileSync(join(folder, 'model.yaml'), maskModel);
  await writeTensors(file, randomTensors(maskModel));
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
