/** A folder with a model of each family, served: what each list says of them, and what each model takes. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { skipUnless } from '../reference.ts';
import { base64Png, startTestServer, testImage, type TestServer } from '../server/start.ts';
import { familyFolder } from './family-folder.ts';

const skip = skipUnless('families/models');
const folder = mkdtempSync(join(tmpdir(), 'sd-families-'));
let server: TestServer;
before(async () => {
  if (skip) return;
  await familyFolder(folder);
  server = await startTestServer({ modelsFolder: folder });
});
after(async () => {
  if (!skip) await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const every = ['txt2img', 'img2img', 'inpaint'];
/** Family, tasks and native size by name. The sizes of the made-up ones are those of their YAML, eight pixels of latent. */
const expected: Readonly<Record<string, readonly [string | null, readonly string[], number | null]>> = {
  v1: ['Stable Diffusion 1', every, 16],
  'v1-inpainting': ['Stable Diffusion 1', ['inpaint'], 16],
  'instruct-pix2pix': ['Stable Diffusion 1', ['img2img'], 16],
  'v2-base': ['Stable Diffusion 2', every, 16],
  'v2-v': ['Stable Diffusion 2', every, 16],
  'v2-quantised': ['Stable Diffusion 2', every, 16],
  'v2-inpainting': ['Stable Diffusion 2', ['inpaint'], 16],
  depth: ['Stable Diffusion 2', ['img2img'], 512],
  'x4-upscaler': ['Stable Diffusion 2', ['img2img'], 512],
  unclip: ['Stable Diffusion 2', ['img2img'], 512],
  'xl-base': ['SDXL', every, 1024],
  'xl-refiner': ['the SDXL refiner', ['img2img', 'inpaint'], 1024],
  sd3: [null, [], null],
  flux: [null, [], null],
};

interface Row {
  readonly family: string | null;
  readonly tasks: readonly string[];
  readonly native_size: number | null;
  readonly unusable?: string | null;
}
const told = ({ family, tasks, native_size }: Row) => [family, tasks, native_size];

test('every list of models says family, tasks and native size', { skip }, async () => {
  const listed = (await server.json('GET', '/sdapi/v1/sd-models')).body as (Row & { model_name: string })[];
  const { data } = (await server.json('GET', '/v1/models')).body as { data: (Row & { id: string })[] };
  const { models } = (await server.json('GET', '/api/v1/server')).body as {
    models: (Row & { name: string; size: number })[];
  };
  const reasons = Object.fromEntries(listed.map(({ model_name, unusable }) => [model_name, unusable]));
  assert.match(reasons['flux'] ?? '', /^flux\.safetensors is a Flux model/);
  assert.match(reasons['sd3'] ?? '', /^sd3\.safetensors is a Stable Diffusion 3 model/);
  assert.equal(reasons['v1'], null);
  for (const [name, wanted] of Object.entries(expected)) {
    assert.deepEqual(told(listed.find(({ model_name }) => model_name === name) as Row), wanted, name);
    assert.deepEqual(told(data.find(({ id }) => id === name) as Row), wanted, name);
    const own = models.find((one) => one.name === name);
    // The page's list has those that can be used.
    assert.deepEqual(own && [own.family, own.tasks, own.size], wanted[0] === null ? undefined : wanted, name);
  }
});

test('a task that a model does not take is refused in one line; files of other families by name', {
  skip,
}, async () => {
  const picture = await base64Png(testImage(64, 64));
  const mask = await base64Png(testImage(64, 64, 'mask'));
  const inputs = { txt2img: {}, img2img: { init_images: [picture] }, inpaint: { init_images: [picture], mask } };
  for (const [name, [family, tasks]] of Object.entries(expected))
    for (const [task, more] of Object.entries(inputs)) {
      if (tasks.includes(task)) continue;
      const { status, body } = await server.json('POST', `/sdapi/v1/${task === 'txt2img' ? task : 'img2img'}`, {
        prompt: 'a cat',
        steps: 1,
        override_settings: { sd_model_checkpoint: name },
        ...more,
      });
      assert.equal(status, 422, `${name} ${task}`);
      const [{ msg }] = (body as { detail: [{ msg: string }] }).detail;
      if (family === null) assert.match(msg, /^\w+\.safetensors is a (Flux|Stable Diffusion 3) model/);
      else assert.equal(msg, `${name} (${family}) does not take ${task}; it takes ${tasks.join(' and ')}.`);
    }
});

test('each model makes what it says it takes', { skip }, async () => {
  const small = { prompt: 'a cat', steps: 1, width: 64, height: 64 };
  const picture = await base64Png(testImage(64, 64));
  const mask = await base64Png(testImage(64, 64, 'mask'));
  for (const [name, task] of [
    ['v1-inpainting', 'inpaint'],
    ['instruct-pix2pix', 'img2img'],
    ['v2-v', 'txt2img'],
    ['v2-quantised', 'txt2img'],
    ['unclip', 'img2img'],
  ] as const) {
    const { status, body } = await server.json('POST', `/sdapi/v1/${task === 'txt2img' ? task : 'img2img'}`, {
      ...small,
      override_settings: { sd_model_checkpoint: name },
      ...(task === 'txt2img' ? {} : { init_images: [picture] }),
      ...(task === 'inpaint' ? { mask } : {}),
    });
    assert.equal(status, 200, `${name}: ${JSON.stringify(body).slice(0, 300)}`);
  }
});
