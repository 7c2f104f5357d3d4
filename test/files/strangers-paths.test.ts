/** Every place where a path of somebody else is read: a pipe there is refused at once, though opening it would block. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { createImage } from '../../src/image/image.ts';
import { preprocess, preprocessorNamed } from '../../src/preprocessors/index.ts';
import { imageFolder } from '../../src/training/data/folder-node.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import { runConfig } from '../../src/training/run/run-folder-node.ts';
import { sd } from '../cli/run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'paths-'));
after(() => rmSync(folder, { recursive: true }));
const noPipes = spawnSync('mkfifo', [join(folder, 'pipe')]).status === 0 ? false : 'this system has no mkfifo';

test('a pipe as the configuration of a run, or beside a model to convert', { skip: noPipes }, async () => {
  symlinkSync(join(folder, 'pipe'), join(folder, 'config.yaml'));
  await assert.rejects(runConfig(folder), { code: 'file-access', message: /named pipe/ });
  copyFileSync(pocketModel, join(folder, 'model.safetensors'));
  symlinkSync(join(folder, 'pipe'), join(folder, 'model.yaml'));
  const { code, err } = await sd(['convert', join(folder, 'model.safetensors'), join(folder, 'x.safetensors')]);
  assert.equal(code, 1);
  assert.match(err, /named pipe.*\[file-access\]/);
});

test('a table that is a link out of the folder of pictures is not read', async () => {
  const pictures = join(folder, 'pictures');
  mkdirSync(pictures);
  writeFileSync(join(folder, 'secret'), '{"file_name":"a.png","text":"secret"}');
  symlinkSync(join(folder, 'secret'), join(pictures, 'metadata.jsonl'));
  const problems = createProblems();
  await imageFolder(pictures, { problems }).catch(() => undefined);
  assert.match(problems.summary(), /unsafe-name: 1/);
});

test('a picture of one line is not enlarged to the resolution of a map', async () => {
  await assert.rejects(preprocess(preprocessorNamed('canny'), createImage(20_000, 4, 3), { resolution: 512 }), {
    code: 'too-large',
    message: /20000 x 4 pixels with its shorter side at 512 has \d+ pixels/,
  });
});
