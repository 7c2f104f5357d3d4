/** sd replay: a picture made again from the settings in its file. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { reference } from '../reference.ts';
import { sd, temporaryFolder } from './run-cli.ts';
import { fast, pixels, sharePastOneLevel, tiny } from './cli-files.ts';

test('numbers go on, the settings are in the file, and replay makes the same picture again', async (context) => {
  const folder = temporaryFolder(context);
  const words = [
    'txt2img',
    ...fast,
    '--from-file',
    '-',
    '--n_samples',
    '2',
    '--steps',
    '4',
    '--eta',
    '0.7',
    '--seed',
    '9',
    '--outdir',
    folder,
  ];
  for (let i = 0; i < 2; i++) assert.equal((await sd(words, { input: 'a cat\nred house\nblue sky' })).code, 0);
  const names = readdirSync(join(folder, 'samples')).sort();
  assert.deepEqual(names, ['00000.png', '00001.png', '00002.png', '00003.png', '00004.png', '00005.png']);
  assert.deepEqual(readdirSync(folder).sort(), ['grid-0000.png', 'grid-0001.png', 'samples']);
  // The third prompt is alone in the second batch: its noise comes after that of the first.
  const third = join(folder, 'samples/00002.png');
  const { parameters, record } = readImageMetadata(new Uint8Array(readFileSync(third)));
  assert.match(parameters ?? '', /^blue sky\nSteps: 4, Sampler: DDIM/);
  assert.deepEqual((record as { earlierBatches: number[] }).earlierBatches, [2]);
  for (const name of ['00001.png', '00002.png']) {
    const again = await sd([
      'replay',
      join(folder, 'samples', name),
      '--threads',
      '1',
      '--json',
      '--output',
      join(folder, 'again.png'),
      '--force',
    ]);
    assert.equal(again.code, 0, again.err + again.out);
    assert.deepEqual([JSON.parse(again.out).equal, JSON.parse(again.out).difference], [true, { largest: 0, share: 0 }]);
    assert.deepEqual(await pixels(join(folder, 'again.png')), await pixels(join(folder, 'samples', name)));
  }
});

test('--prompt-syntax a1111: weights count, a long prompt is not cut, and replay knows', async (context) => {
  const folder = temporaryFolder(context);
  const make = async (name: string, prompt: string, ...more: string[]) => {
    const file = join(folder, name);
    const { code, err } = await sd([
      'txt2img',
      '--prompt',
      prompt,
      ...fast,
      '--steps',
      '2',
      '--quiet',
      '--output',
      file,
      ...more,
    ]);
    assert.equal(code, 0, err);
    return { file, err };
  };
  const plain = await make('plain.png', `(red:1.6) apple ${'a '.repeat(90)}`);
  const read = await make('read.png', `(red:1.6) apple ${'a '.repeat(90)}`, '--prompt-syntax', 'a1111');
  assert.match(plain.err, /longer than 75 tokens/);
  assert.equal(read.err, '');
  assert.ok((await sharePastOneLevel(plain.file, read.file)) > 0);
  const again = await sd(['replay', read.file, '--threads', '1', '--skip_save', '--json']);
  assert.equal(again.code, 0, again.err);
});

test('replay of a picture that began from one, and of one made from given noise', async (context) => {
  const folder = temporaryFolder(context);
  const [init, mask] = [
    reference('diffusion/pipelines/images/init.png'),
    reference('diffusion/pipelines/images/mask.png'),
  ];
  const painted = join(folder, 'painted.webp');
  assert.equal(
    (
      await sd([
        'inpaint',
        'a cat',
        '--ckpt',
        tiny,
        '--threads',
        '1',
        '--init-img',
        init,
        '--mask',
        mask,
        '--steps',
        '3',
        '--output',
        painted,
      ])
    ).code,
    0,
  );
  assert.equal((await sd(['replay', painted, '--skip_save', '--threads', '1'])).code, 2, 'the pictures are missing');
  assert.equal(
    (await sd(['replay', painted, '--skip_save', '--threads', '1', '--init-img', mask, '--mask', mask])).code,
    2,
    'another picture',
  );
  const again = await sd(['replay', painted, '--skip_save', '--threads', '1', '--init-img', init, '--mask', mask]);
  assert.equal(again.code, 0, again.err);
  assert.match(again.out, /is equal to/);

  const [latents, first, second] = [join(folder, 'l.safetensors'), join(folder, 'a.png'), join(folder, 'b.png')];
  assert.equal(
    (await sd(['txt2img', 'x', ...fast, '--steps', '3', '--seed', '5', '--output', first, '--save-latents', latents]))
      .code,
    0,
  );
  assert.equal(
    (
      await sd([
        'txt2img',
        'x',
        '--ckpt',
        tiny,
        '--threads',
        '1',
        '--no-watermark',
        '--steps',
        '3',
        '--init-latents',
        latents,
        '--output',
        second,
      ])
    ).code,
    0,
  );
  assert.deepEqual(await pixels(second), await pixels(first), 'size and noise are those of the file');
  assert.equal((await sd(['replay', second, '--skip_save', '--threads', '1'])).code, 2, 'the noise is missing');
  assert.equal((await sd(['replay', second, '--skip_save', '--threads', '1', '--init-latents', latents])).code, 0);
});

test('a picture without our settings is not replayed', async () => {
  const { code, err } = await sd(['replay', reference('diffusion/pipelines/images/init.png')]);
  assert.equal(code, 2);
  assert.match(err, /no settings/);
});
