/** `sd eval` from its words to its numbers, with the model that ships. */

import assert from 'node:assert/strict';
import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { pocketModel } from '../../src/pipelines/load-model-node.ts';
import { writeSafetensors } from '../../src/weights/safetensors-write.ts';
import { writeFileAtomic } from '../../src/weights/write-file-node.ts';
import { smallClip } from '../evaluation/small-clip.ts';
import { sd, temporaryFolder } from './run-cli.ts';

/** A folder of a few pictures with discs on white. */
async function discs(folder: string): Promise<string> {
  for (let n = 0; n < 3; n++) {
    const image = createImage(128, 128, 3);
    image.data.fill(255);
    for (let y = 0; y < 128; y++) for (let x = 0; x < 128; x++) if (Math.hypot(x - 64, y - 64) < 30 + 8 * n) image.data.set([250, 180, 40], (y * 128 + x) * 3);
    await writeFile(join(folder, `disc-${n}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
    await writeFile(join(folder, `disc-${n}.txt`), 'a yellow disc');
  }
  return folder;
}

test('reconstruction of a whole model, and its autoencoder alone', async (context) => {
  const [data, output] = [await discs(temporaryFolder(context)), temporaryFolder(context)];
  const { code, out, err } = await sd(['eval', 'reconstruction', '--real', data, '--output', output, '--json']);
  assert.equal(code, 0, err);
  const measures = JSON.parse(out);
  assert.equal(measures.pictures, 3);
  assert.ok(measures.psnr > 15 && measures.psnr < 60, `psnr ${measures.psnr}`);
  assert.ok(measures.ssim > 0.5 && measures.ssim < 1, `ssim ${measures.ssim}`);
  assert.deepEqual(await readdir(output), ['reconstruction.png']);
  // Without its YAML it is read by names and shapes.
  const bare = join(temporaryFolder(context), 'model.safetensors');
  await copyFile(pocketModel, bare);
  assert.deepEqual(JSON.parse((await sd(['eval', 'reconstruction', '--model', bare, '--real', data, '--json'])).out), measures);
});

test('two folders of pictures, and the plot over guidance scales, by a CLIP from its file', async (context) => {
  const [data, output] = [await discs(temporaryFolder(context)), temporaryFolder(context)];
  for (const name of ['disc-0', 'disc-1']) for (const ending of ['png', 'txt']) await copyFile(join(data, `${name}.${ending}`), join(data, `${name}-again.${ending}`));
  const features = join(output, 'features.safetensors');
  const clip = smallClip();
  await writeFileAtomic(features, writeSafetensors(clip.entries.values(), ({ name }) => clip.read(name)));
  const same = await sd(['eval', 'pictures', '--real', data, '--made', data, '--features', features, '--json']);
  assert.equal(same.code, 0, same.err);
  const measures = JSON.parse(same.out);
  assert.ok(Math.abs(measures.fid) < 1e-6);
  assert.deepEqual([measures.real, measures.generated, measures.precision], [5, 5, 1]);
  const swept = await sd(['eval', 'guidance', '--real', data, '--features', features, '--count', '2', '--steps', '2', '--scales', '1,3', '--output', output, '--json']);
  assert.equal(swept.code, 0, swept.err);
  const { curves, notes } = JSON.parse(swept.out);
  assert.equal(notes, '2 captions, 2 steps of ddim, features of features');
  assert.deepEqual(curves.map((curve: { name: string; points: { scale: number }[] }) => [curve.name, curve.points.map(({ scale }) => scale)]), [['pocket', [1, 3]]]);
  assert.deepEqual((await readdir(output)).sort(), ['1-pocket-1.png', '1-pocket-3.png', 'features.safetensors', 'fid-clip.json', 'fid-clip.png', 'fid-clip.svg']);
});

test('what is missing or unknown is named, with exit code 2', async () => {
  for (const [words, message] of [
    [['eval'], /missing required argument/],
    [['eval', 'beauty'], /beauty cannot be measured.*pictures, reconstruction, guidance/],
    [['eval', 'pictures', '--real', '.'], /--made is missing/],
    [['eval', 'guidance', '--scales', 'many'], /--scales/],
  ] as const) {
    const { code, err } = await sd(words);
    assert.equal(code, 2);
    assert.match(err, message);
  }
});
