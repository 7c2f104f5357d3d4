/** `sd eval` from its words to its numbers, with the model that ships. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { zipSync } from 'fflate';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { writeNpz } from '../../src/formats/npz.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { smallClip, smallClipTwice } from '../evaluation/small-clip.ts';
import { assertWithin } from '../parity.ts';
import { reference } from '../reference.ts';
import { readTensors } from '../tensors.ts';
import { sd, temporaryFolder } from './run-cli.ts';

/** A folder of a few pictures with discs on white. */
async function discs(folder: string): Promise<string> {
  for (let n = 0; n < 3; n++) {
    const image = createImage(128, 128, 3);
    image.data.fill(255);
    for (let y = 0; y < 128; y++)
      for (let x = 0; x < 128; x++)
        if (Math.hypot(x - 64, y - 64) < 30 + 8 * n) image.data.set([250, 180, 40], (y * 128 + x) * 3);
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
  assert.deepEqual(
    JSON.parse((await sd(['eval', 'reconstruction', '--model', bare, '--real', data, '--json'])).out),
    measures,
  );
});

test('a data set of any kind measures as its folder does: shards, a zip, an archive', async (context) => {
  const folder = temporaryFolder(context);
  const data = join(folder, 'pictures');
  await mkdir(data);
  await discs(data);
  const names = await readdir(data);
  const tar = spawnSync('tar', ['-czf', join(folder, 'a.tar.gz'), '-C', data, ...names.sort()]);
  const files = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(data, name))])),
  );
  const extras = { 'note.md': new Uint8Array(3), '__MACOSX/._disc-0.png': new Uint8Array(9) };
  await writeFile(join(folder, 'a.zip'), zipSync({ ...files, ...extras }));
  const measures = async (real: string) => {
    const { code, out, err } = await sd(['eval', 'reconstruction', '--real', real, '--json', '--count', '2']);
    assert.equal(code, 0, err);
    return JSON.parse(out) as { readonly pictures: number };
  };
  const expected = await measures(data);
  assert.equal(expected.pictures, 2);
  assert.deepEqual(await measures(join(folder, 'a.zip')), expected);
  if (tar.status === 0) assert.deepEqual(await measures(join(folder, 'a.tar.gz')), expected);
  await writeFile(join(folder, 'empty.zip'), zipSync({ 'note.md': new Uint8Array(3) }));
  const empty = await sd(['eval', 'reconstruction', '--real', join(folder, 'empty.zip')]);
  assert.match(empty.err, /empty\.zip holds no pictures/);
});

async function saved(path: string, weights: WeightSource): Promise<string> {
  await writeFileAtomic(
    path,
    writeSafetensors(weights.entries.values(), ({ name }) => weights.read(name)),
  );
  return path;
}

test("reconstruction with LPIPS from its file: PyTorch's number (fixtures/evaluation/reconstruction.py), from taming's whole network as from VGG16 and vgg.pth", async (context) => {
  const [data, folder] = [await discs(temporaryFolder(context)), temporaryFolder(context)];
  const whole = reference('networks/lpips_narrow/weights.safetensors');
  const line = [
    'eval',
    'reconstruction',
    '--model',
    reference('networks/kl_sd/weights.safetensors'),
    '--real',
    data,
    '--json',
  ];
  const { code, out, err } = await sd([...line, '--lpips', whole]);
  assert.equal(code, 0, err);
  const { lpips, ...measures } = JSON.parse(out);
  const want = JSON.parse(readFileSync(reference('evaluation/reconstruction.json'), 'utf8'));
  // Float32 through 30 layers against float64; levels that are rounded the other way.
  const row = { part: 'evaluation', case: 'reconstruction', reference: 'diffusers AutoencoderKL, taming LPIPS' };
  assertWithin({ ...row, output: 'lpips', error: Math.abs(lpips - want.lpips), tolerance: 1e-5 });
  assertWithin({ ...row, output: 'psnr', error: Math.abs(measures.psnr - want.psnr), tolerance: 1e-3 });

  // torchvision's names, with a classifier that is not used; the linear layers are a file of their own, and the scaling layer in neither.
  const vgg = new Map<string, Tensor>([['classifier.0.weight', float32([1, 1], [0])]]);
  const linear = new Map<string, Tensor>();
  for (const [name, value] of readTensors(whole)) {
    if (name.startsWith('net.')) vgg.set(name.replace(/^net\.slice\d/, 'features'), value);
    else if (name.startsWith('lin')) linear.set(name, value);
  }
  const files = [
    await saved(join(folder, 'vgg16.safetensors'), memoryWeights(vgg)),
    await saved(join(folder, 'vgg.safetensors'), memoryWeights(linear)),
  ];
  const split = await sd([...line, ...files.flatMap((file) => ['--lpips', file])]);
  assert.equal(split.code, 0, split.err);
  assert.deepEqual(JSON.parse(split.out), { ...measures, lpips });

  const half = await sd([...line, '--lpips', files[1] as string]);
  assert.equal(half.code, 1);
  assert.equal(JSON.parse(half.out).error.code, 'weights-mismatch');
});

test("features of a CLIP in OpenAI's layout: the numbers that its weights under transformers' names give", async (context) => {
  const [data, output] = [await discs(temporaryFolder(context)), temporaryFolder(context)];
  const { transformers, openai } = smallClipTwice();
  const measures: { readonly fid: number; readonly clipScore: number }[][] = [];
  for (const [name, weights] of Object.entries({ transformers, openai })) {
    const features = await saved(join(output, `${name}.safetensors`), weights);
    const { code, out, err } = await sd([
      'eval',
      'guidance',
      '--real',
      data,
      '--features',
      features,
      '--count',
      '2',
      '--steps',
      '2',
      '--scales',
      '1,3',
      '--output',
      join(output, name),
      '--json',
    ]);
    assert.equal(code, 0, err + out);
    measures.push(JSON.parse(out).curves[0].points);
  }
  const [want = [], got = []] = measures;
  assert.equal(got.length, 2);
  for (const [i, point] of want.entries()) {
    assert.ok(point.fid > 0 && point.clipScore > 0, JSON.stringify(point));
    for (const key of ['fid', 'clipScore'] as const)
      assert.ok(
        Math.abs(point[key] - (got[i]?.[key] ?? Number.NaN)) < 1e-4 * point[key],
        `${key}: ${point[key]} and ${got[i]?.[key]}`,
      );
  }
});

test('two folders of pictures, and the plot over guidance scales, by a CLIP from its file', async (context) => {
  const [data, output] = [await discs(temporaryFolder(context)), temporaryFolder(context)];
  for (const name of ['disc-0', 'disc-1'])
    for (const ending of ['png', 'txt'])
      await copyFile(join(data, `${name}.${ending}`), join(data, `${name}-again.${ending}`));
  const features = await saved(join(output, 'features.safetensors'), smallClip());
  const same = await sd(['eval', 'pictures', '--real', data, '--made', data, '--features', features, '--json']);
  assert.equal(same.code, 0, same.err);
  const measures = JSON.parse(same.out);
  assert.ok(Math.abs(measures.fid) < 1e-6);
  assert.deepEqual([measures.real, measures.generated, measures.precision], [5, 5, 1]);
  const prompts = join(output, 'captions.json');
  const annotations = ['a red disc', ' a blue disc\n', 'a green disc'].map((caption) => ({ caption }));
  await writeFile(prompts, JSON.stringify({ annotations }));
  const many = await sd(['eval', 'guidance', '--real', data, '--features', features, '--prompts', prompts, '-n', '4']);
  assert.match(many.err, /4 prompts were asked for, and there are 3/);
  const swept = await sd([
    'eval',
    'guidance',
    '--real',
    data,
    '--features',
    features,
    '--prompts',
    prompts,
    '--count',
    '2',
    '--steps',
    '2',
    '--scales',
    '1,3',
    '--output',
    output,
    '--json',
  ]);
  assert.equal(swept.code, 0, swept.err);
  const { curves, notes } = JSON.parse(swept.out);
  assert.equal(notes, '2 captions, 2 steps of plms, features of features');
  assert.deepEqual(
    curves.map((curve: { name: string; points: { scale: number }[] }) => [
      curve.name,
      curve.points.map(({ scale }) => scale),
    ]),
    [['pocket', [1, 3]]],
  );
  assert.deepEqual((await readdir(output)).sort(), [
    '1-pocket-1.png',
    '1-pocket-3.png',
    'captions.json',
    'features.safetensors',
    'fid-clip.json',
    'fid-clip.png',
    'fid-clip.svg',
  ]);
});

test('two models with files of one name are told apart by their folders', async (context) => {
  const [data, output] = [await discs(temporaryFolder(context)), temporaryFolder(context)];
  const again = join(output, 'again');
  await mkdir(again);
  for (const ending of ['safetensors', 'yaml'])
    await copyFile(pocketModel.replace('safetensors', ending), join(again, `pocket.${ending}`));
  const features = await saved(join(output, 'features.safetensors'), smallClip());
  const swept = await sd([
    'eval',
    'guidance',
    '--model',
    pocketModel,
    '--model',
    join(again, 'pocket.safetensors'),
    '--real',
    data,
    '--features',
    features,
    '--count',
    '2',
    '--steps',
    '2',
    '--scales',
    '3',
    '--output',
    output,
    '--json',
  ]);
  assert.equal(swept.code, 0, swept.err);
  const [first, second] = JSON.parse(swept.out).curves as [
    { name: string; points: unknown },
    { name: string; points: unknown },
  ];
  assert.deepEqual([first.name, second.name], ['models-pocket', 'again-pocket']);
  assert.deepEqual(first.points, second.points);
});

test('what is missing or unknown is named, with exit code 2', async () => {
  for (const [words, message] of [
    [['eval'], /<pictures\|reconstruction\|guidance\|bits\|adm> is required/],
    [['eval', 'beauty'], /Unknown evaluation "beauty"\. Choose pictures, reconstruction, guidance, bits or adm\./],
    [['eval', 'pictures', '--real', '.'], /--made is required/],
    [['eval', 'guidance', '--scales', 'many'], /--scales/],
  ] as const) {
    const { code, err } = await sd(words);
    assert.equal(code, 2);
    assert.match(err, message);
  }
});

test('pictures of an archive are measured as those of a folder; other arrays are refused by name', async (context) => {
  const [data, output] = [await discs(temporaryFolder(context)), temporaryFolder(context)];
  const features = await saved(join(output, 'features.safetensors'), smallClip());
  for (const name of ['disc-3', 'disc-4']) await copyFile(join(data, 'disc-1.png'), join(data, `${name}.png`));
  const pictures = await Promise.all(
    [0, 1, 2, 3, 4].map(async (n) => (await nodeImageCodec.decode(await readFile(join(data, `disc-${n}.png`)))).data),
  );
  const joined = Uint8Array.from(pictures.flatMap((bytes) => [...bytes]));
  const archive = join(output, 'samples.npz');
  await writeFile(archive, writeNpz({ arr_0: { dtype: 'uint8', shape: [5, 128, 128, 3], data: joined } }));
  const measure = (made: string) =>
    sd(['eval', 'pictures', '--real', data, '--made', made, '--features', features, '--json', '--seed', '1']);
  const [folder, packed] = [await measure(data), await measure(archive)];
  assert.equal(packed.code, 0, `${packed.err}${packed.out}`);
  assert.deepEqual(JSON.parse(packed.out), JSON.parse(folder.out));
  const wrong = join(output, 'wrong.npz');
  await writeFile(wrong, writeNpz({ arr_0: float32([2, 2], [1, 2, 3, 4]) }));
  assert.match((await measure(wrong)).out, /arr_0 is float32 \[2, 2\], not uint8 \[pictures, height, width, 3\]/);
});
