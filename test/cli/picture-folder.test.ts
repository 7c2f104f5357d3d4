/** Commands with several pictures. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { sd, temporaryFolder } from './run-cli.ts';

const picture = join(import.meta.dirname, '../../web/public/icon-192.png');

test('every picture of a folder begins a picture, in the order of their names', async (context) => {
  const folder = temporaryFolder(context);
  const [given, made] = [join(folder, 'given'), join(folder, 'made')];
  mkdirSync(given);
  copyFileSync(picture, join(given, 'b.png'));
  copyFileSync(picture.replace('192', '512'), join(given, 'a.png'));
  writeFileSync(join(given, 'notes.txt'), 'not a picture');
  writeFileSync(join(given, '.hidden.png'), 'not a picture');
  const size = ['-W', '64', '-H', '64', '--steps', '2', '--strength', '0.5', '--threads', '1'];
  const { code, out } = await sd(['img2img', 'a cat', '--init-img', given, '--outdir', made, ...size]);
  assert.equal(code, 0);
  const files = readdirSync(join(made, 'samples')).sort();
  assert.deepEqual(files, ['00000.png', '00001.png']);
  for (const file of files) assert.ok(out.includes(file), out);
  // The first is of the first name: the same alone.
  const alone = join(folder, 'alone.png');
  await sd(['img2img', 'a cat', '--init-img', join(given, 'a.png'), '--output', alone, ...size]);
  const bytes = (path: string): Buffer => readFileSync(path);
  assert.deepEqual(bytes(join(made, 'samples', '00000.png')).length > 0, true);
  const parameters = (path: string): string | undefined => readImageMetadata(bytes(path)).parameters;
  assert.equal(parameters(join(made, 'samples', '00000.png')), parameters(alone));
  assert.notDeepEqual(bytes(join(made, 'samples', '00000.png')), bytes(join(made, 'samples', '00001.png')));
});

test('a folder without pictures is an error', async (context) => {
  const folder = temporaryFolder(context);
  const { code, err } = await sd(['img2img', 'a cat', '--init-img', folder]);
  assert.equal(code, 2);
  assert.match(err, /has no pictures/);
});

test('a picture of several that cannot be read is passed over and named; the others are made', async (context) => {
  const folder = temporaryFolder(context);
  const [bad, good] = [join(folder, 'bad.png'), join(folder, 'good.png')];
  writeFileSync(bad, '');
  copyFileSync(picture, good);
  const { code, out, err } = await sd(['preprocess', 'canny', bad, join(folder, 'gone.png'), good, '--outdir', folder]);
  assert.equal(code, 1);
  assert.equal(out, `${join(folder, 'good-canny.png')}\n`);
  assert.match(err, /^warning: .*bad\.png: The image file is empty\..*\nwarning: .*gone\.png does not exist\./);
  assert.match(err, /2 of 3 pictures could not be read; the others are done\. \[file-corrupt\]/);
  const alone = await sd(['preprocess', 'canny', bad, '--outdir', folder]);
  assert.deepEqual(
    [alone.code, alone.err],
    [1, `sd: ${bad}: The image file is empty. Give a PNG, JPEG, WebP or GIF image. [file-corrupt]\n`],
  );
});
