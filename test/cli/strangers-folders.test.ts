/** Diffusers folders of strangers: tokens without rows, links that lead out, names of a megabyte. */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { sd } from './run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'strangers-'));
const model = join(folder, 'model');
before(async () => {
  assert.equal((await sd(['convert', pocketModel, model, '--layout', 'diffusers'])).code, 0);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('a vocabulary whose tokens have no rows is refused before the network runs', async () => {
  const path = join(model, 'tokenizer', 'vocab.json');
  const text = readFileSync(path, 'utf8');
  const far = Object.entries(JSON.parse(text) as Record<string, number>).map(([name, id]) => [name, id + 1e7]);
  writeFileSync(path, JSON.stringify(Object.fromEntries(far)));
  const { code, err } = await sd(['txt2img', 'x', '--steps', '1', '--model', model, '-o', join(folder, 'x.png')]);
  writeFileSync(path, text);
  assert.equal(code, 1);
  assert.match(err, /gives the token 100\d+, and its network cond_stage has \d+ rows.*\[weights-mismatch\]/);
  assert.ok(!existsSync(join(folder, 'x.png')));
});

test('configurations and tokenizers behind a link out of the folder are not read to make a picture', async () => {
  for (const name of [
    'vae/config.json',
    'model_index.json',
    'scheduler/scheduler_config.json',
    'tokenizer/vocab.json',
  ]) {
    const [path, outside] = [join(model, name), join(folder, 'outside.json')];
    const text = readFileSync(path);
    writeFileSync(outside, text);
    rmSync(path);
    symlinkSync(outside, path);
    const { code, err } = await sd(['txt2img', 'x', '--steps', '1', '--model', model, '-o', join(folder, 'x.png')]);
    rmSync(path);
    writeFileSync(path, text);
    assert.equal(code, 1, name);
    assert.match(err, /\.json is a link that leads out of .*\[file-unsafe\]/, name);
    assert.ok(!existsSync(join(folder, 'x.png')), name);
  }
});

test('the settings of a scheduler behind a link out of the folder are not copied', async () => {
  const path = join(model, 'scheduler', 'scheduler_config.json');
  rmSync(path);
  writeFileSync(join(folder, 'secret.json'), '{"token":"secret"}');
  symlinkSync(join(folder, 'secret.json'), path);
  const out = join(folder, 'out');
  const { code, err } = await sd(['convert', model, out, '--layout', 'diffusers']);
  assert.equal(code, 1);
  assert.match(err, /scheduler_config\.json is a link that leads out of .*\[file-unsafe\]/);
  assert.ok(!existsSync(out));
});

test('a message with a name of a megabyte is cut', async () => {
  const header = JSON.stringify({ ['x'.repeat(1e6)]: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } });
  const bytes = Buffer.alloc(8 + header.length + 4);
  bytes.writeBigUInt64LE(BigInt(header.length));
  bytes.write(header, 8);
  const path = join(folder, 'long.safetensors');
  writeFileSync(path, bytes);
  const { code, err } = await sd(['txt2img', 'x', '--lora', path]);
  assert.equal(code, 1);
  assert.match(err, /long\.safetensors is not a LoRA/);
  assert.ok(err.length < 5000, `${err.length} characters`);
});
