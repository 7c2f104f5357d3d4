/** What commands write: new names only, nothing of others replaced or removed. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeNewFolder } from '../../src/files/write-folder-node.ts';
import { sd, temporaryFolder } from './run-cli.ts';

const pocket = join(import.meta.dirname, '../../models/pocket.safetensors');
const quick = ['--steps', '1', '--quiet'];

test('a folder is no file for one picture, and a folder that takes no files is not missing', async (t) => {
  const folder = temporaryFolder(t);
  for (const more of [[], ['--force']]) {
    const { code, err } = await sd(['txt2img', 'a', ...quick, '-o', folder, ...more]);
    assert.match(err, /--output names one file, and .* is a folder\. Give --outdir/);
    assert.equal(code, 2);
  }
  assert.match((await sd(['txt2img', 'a', ...quick, '-o', `${folder}/new/`])).err, /is a folder/);
  if (existsSync('/proc/self'))
    for (const words of [
      ['-o', '/proc/x.png'],
      ['--outdir', '/proc'],
    ])
      assert.match(
        (await sd(['txt2img', 'a', ...quick, ...words])).err,
        /could not be written: its folder takes no new files/,
      );
});

test('numbers beyond 15 digits are other people’s; of two runs at once each keeps its pictures', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'samples'));
  writeFileSync(join(folder, 'samples/1234567890123456789.png'), 'of a person');
  const words = ['txt2img', 'a', ...quick, '--n_samples', '2', '--outdir', folder];
  const runs = await Promise.all([sd(words), sd([...words, '--seed', '7'])]);
  assert.deepEqual(
    runs.map(({ code }) => code),
    [0, 0],
    runs.map(({ err }) => err).join(),
  );
  const announced = runs.flatMap(({ out }) => out.trim().split('\n'));
  assert.equal(new Set(announced).size, 6);
  assert.ok(announced.every((path) => existsSync(path)));
  assert.deepEqual(readdirSync(join(folder, 'samples')).sort(), [
    '00000.png',
    '00001.png',
    '00002.png',
    '00003.png',
    '1234567890123456789.png',
  ]);
  assert.equal(readFileSync(join(folder, 'samples/1234567890123456789.png'), 'utf8'), 'of a person');
});

test('a named picture is replaced only with --force, which is told before the work', async (t) => {
  const path = join(temporaryFolder(t), 'apple.png');
  writeFileSync(path, 'mine');
  const words = ['txt2img', 'a', ...quick, '--output', path];
  const refused = await sd(words);
  assert.equal(refused.code, 2);
  assert.match(refused.err, /apple\.png exists already.*--force.*\[file-exists\]/);
  assert.equal(readFileSync(path, 'utf8'), 'mine');
  assert.equal((await sd([...words, '--force'])).code, 0);
  assert.equal(readFileSync(path).subarray(1, 4).toString(), 'PNG');
});

test('latents replace earlier latents, and no model', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'l.safetensors');
  const words = ['txt2img', 'a', ...quick, '--skip_save', '--outdir', folder, '--save-latents'];
  for (let i = 0; i < 2; i++) assert.equal((await sd([...words, path])).code, 0);
  copyFileSync(pocket, join(folder, 'model.safetensors'));
  const refused = await sd([...words, join(folder, 'model.safetensors')]);
  assert.match(refused.err, /\[file-exists\]/);
});

test('convert writes no file over another: target, YAML beside it, shards of its input', async (t) => {
  const folder = temporaryFolder(t);
  const thing = join(folder, 'thing.safetensors');
  writeFileSync(join(folder, 'thing.yaml'), 'mine: 1\n');
  const refused = await sd(['convert', pocket, thing]);
  assert.match(refused.err, /thing\.yaml exists already.*\[file-exists\]/);
  assert.equal(readFileSync(join(folder, 'thing.yaml'), 'utf8'), 'mine: 1\n');
  assert.deepEqual(readdirSync(folder), ['thing.yaml']);

  copyFileSync(pocket, thing);
  symlinkSync('thing.safetensors', join(folder, 'link.safetensors'));
  const over = await sd(['convert', join(folder, 'link.safetensors'), thing, '--force', '--layout', 'keep']);
  assert.equal(over.code, 2);
  assert.match(over.err, /would overwrite the input/);

  for (const words of [['foo.yaml'], ['foo.json', '--layout', 'keep']]) {
    const yaml = await sd(['convert', pocket, ...words]);
    assert.equal(yaml.code, 2);
    assert.match(yaml.err, /name of a configuration/);
  }
});

test('convert to a folder: an empty one, also ".", and never a file or one with content', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'file'), '');
  assert.match(
    (await sd(['convert', pocket, join(folder, 'file'), '--layout', 'diffusers'])).err,
    /is a file.*\[file-exists\]/,
  );
  assert.match((await sd(['convert', pocket, folder, '--layout', 'diffusers'])).err, /is not empty.*\[file-exists\]/);
  assert.deepEqual(readdirSync(folder), ['file']);

  mkdirSync(join(folder, 'empty'));
  const before = process.cwd();
  process.chdir(join(folder, 'empty'));
  t.after(() => process.chdir(before));
  assert.equal((await sd(['convert', pocket, '.', '--layout', 'diffusers', '--quiet'])).code, 0);
  assert.deepEqual(readdirSync(join(folder, 'empty')).sort(), [
    'model_index.json',
    'scheduler',
    'text_encoder',
    'tokenizer',
    'unet',
    'vae',
  ]);
});

test('what others put into a folder while it is written stays', async (t) => {
  const folder = join(temporaryFolder(t), 'out');
  await writeNewFolder(folder, async (inside) => {
    writeFileSync(join(inside, 'a'), 'a');
    writeFileSync(join(folder, 'precious.txt'), 'x');
  });
  assert.deepEqual(readdirSync(folder).sort(), ['a', 'precious.txt']);
  const clash = writeNewFolder(join(folder, 'in'), async (inside) => {
    writeFileSync(join(inside, 'a'), 'a');
    writeFileSync(join(folder, 'in/a'), 'mine');
  });
  await assert.rejects(clash, { code: 'file-exists' });
  assert.deepEqual(readdirSync(join(folder, 'in')), ['a']);
  assert.equal(readFileSync(join(folder, 'in/a'), 'utf8'), 'mine');
  await assert.rejects(
    writeNewFolder(join(folder, 'gone'), () => Promise.reject(new Error('broken'))),
    /broken/,
  );
  assert.ok(!existsSync(join(folder, 'gone')));
});

test('of a tokenizer only its own files are copied, and no link that leads out of the model', async (t) => {
  const folder = temporaryFolder(t);
  const model = join(folder, 'model');
  assert.equal((await sd(['convert', pocket, model, '--layout', 'diffusers', '--quiet'])).code, 0);
  writeFileSync(join(folder, 'secret'), 'SECRET');
  symlinkSync('../../secret', join(model, 'tokenizer/notes.txt'));
  mkdirSync(join(model, 'tokenizer/sub'));
  execFileSync('mkfifo', [join(model, 'tokenizer/pipe')]);
  const copied = await sd(['convert', model, join(folder, 'copy'), '--layout', 'diffusers', '--quiet']);
  assert.equal(copied.code, 0, copied.err);
  assert.match(copied.err, /notes\.txt is not a file of a tokenizer and was not copied/);
  assert.deepEqual(readdirSync(join(folder, 'copy/tokenizer')).sort(), [
    'merges.txt',
    'special_tokens_map.json',
    'tokenizer_config.json',
    'vocab.json',
  ]);
  symlinkSync('../../secret', join(model, 'tokenizer/added_tokens.json'));
  const leading = await sd(['convert', model, join(folder, 'other'), '--layout', 'diffusers', '--quiet']);
  assert.match(leading.err, /leads out of .*\[file-unsafe\]/);
  assert.ok(!existsSync(join(folder, 'other')));
});

test('a model that is a link makes a picture: the file of a hub’s cache', async (t) => {
  const folder = temporaryFolder(t);
  for (const name of ['blobs', 'snapshots/1']) mkdirSync(join(folder, name), { recursive: true });
  copyFileSync(pocket, join(folder, 'blobs/0123abcd'));
  copyFileSync(pocket.replace('.safetensors', '.yaml'), join(folder, 'blobs/4567'));
  symlinkSync('../../blobs/0123abcd', join(folder, 'snapshots/1/pocket.safetensors'));
  symlinkSync('../../blobs/4567', join(folder, 'snapshots/1/pocket.yaml'));
  const { code, err } = await sd([
    'txt2img',
    'x',
    ...quick,
    '--model',
    join(folder, 'snapshots/1/pocket.safetensors'),
    '--outdir',
    folder,
  ]);
  assert.equal(code, 0, err);
});

test('a pipe where a file belongs is refused at once', async (t) => {
  const folder = temporaryFolder(t);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const words of [
    ['txt2img', 'x', '--model', pipe],
    ['txt2img', 'x', '--lora', pipe],
    ['img2img', 'x', '--init-img', pipe],
    ['replay', pipe],
    ['inspect', pipe],
    ['train', '--config', pipe],
    ['convert', pipe, join(folder, 'o.safetensors')],
  ]) {
    const { code, err } = await sd(words);
    assert.equal(code, 1, words.join(' '));
    assert.match(err, /is a named pipe.*\[file-access\]/, words.join(' '));
  }
});
