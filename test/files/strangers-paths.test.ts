/** Every place where a path of somebody else is read: a pipe there is refused at once, though opening it would block. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { createImage } from '../../src/image/image.ts';
import { takeLock } from '../../src/files/lock-node.ts';
import { openToWrite } from '../../src/files/open-to-write-node.ts';
import { sha256OfFile } from '../../src/files/sha256-node.ts';
import { keptModels, repositoryCache } from '../../src/hub/hub-cache-node.ts';
import { ownHubSettings } from '../../src/hub/pull-node.ts';
import { preprocess, preprocessorNamed } from '../../src/preprocessors/index.ts';
import { imageFolder } from '../../src/training/data/folder-node.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import { openMetricsLog } from '../../src/training/run/metrics-log-node.ts';
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

const pipe = { code: 'file-access', message: /named pipe/ };

test('a pipe as a list of prompts or of texts', { skip: noPipes }, async () => {
  for (const command of ['txt2img', 'tokenize']) {
    const { code, err } = await sd([command, '--from-file', join(folder, 'pipe')]);
    assert.equal(code, 1);
    assert.match(err, /named pipe.*\[file-access\]/);
  }
});

test('a pipe as a log of a run, as a note of a lock, in the cache of models, as a key', { skip: noPipes }, async () => {
  await assert.rejects(openMetricsLog(join(folder, 'pipe'), 0), pipe);
  await assert.rejects(takeLock(join(folder, 'pipe'), { what: 'the folder' }), pipe);
  await assert.rejects(sha256OfFile(join(folder, 'pipe')), pipe);
  const cached = repositoryCache(join(folder, 'cache'), 'a/b').folder;
  mkdirSync(join(cached, 'refs'), { recursive: true });
  symlinkSync(join(folder, 'pipe'), join(cached, 'refs', 'main'));
  assert.equal((await keptModels(join(folder, 'cache')))[0]?.repository, 'a/b');
  assert.ok(ownHubSettings({ HF_TOKEN_PATH: join(folder, 'pipe') }));
});

test('a log that is a link does not write to where it leads', async () => {
  const [victim, log] = [join(folder, 'victim'), join(folder, 'metrics.jsonl')];
  writeFileSync(victim, '{"step":1,"time":1}\n');
  symlinkSync(victim, log);
  await assert.rejects(openMetricsLog(log, 5), { code: 'file-access', message: /is a link/ });
  await assert.rejects(openToWrite(log, 'keep'), { code: 'file-access', message: /is a link/ });
  assert.equal(readFileSync(victim, 'utf8'), '{"step":1,"time":1}\n');
});

test('a line without an end, and lines without number', async () => {
  const long = join(folder, 'long.txt');
  writeFileSync(long, 'x'.repeat(6_000_000));
  const line = await sd(['tokenize', '--from-file', long]);
  assert.match(line.err, /long\.txt has a line of more than 4194304 characters\. \[too-large\]/);
  writeFileSync(long, '\n'.repeat(1_000_001));
  const lines = await sd(['txt2img', '--from-file', long]);
  assert.match(lines.err, /more than 1000000 lines/);
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
