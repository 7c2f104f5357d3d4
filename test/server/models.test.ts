/** Several checkpoints in a folder, chosen by name in each API; models that cannot be used; URLs of pictures. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { parseInfotext } from '../../src/image/infotext.ts';
import { pocketModel } from '../../src/pipelines/load-model-node.ts';
import { fetchPicture, isPublicAddress } from '../../src/server/http/fetch-picture.ts';
import { startTestServer, type TestServer } from './start.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-models-'));
const add = (name: string): string => {
  copyFileSync(pocketModel, join(folder, name));
  copyFileSync(pocketModel.replace(/\.safetensors$/, '.yaml'), join(folder, name.replace(/\.\w+$/, '.yaml')));
  return join(folder, name);
};
let server: TestServer;
before(async () => {
  add('second.safetensors');
  truncateSync(add('broken.safetensors'), 100_000);
  writeFileSync(join(folder, 'notes.txt'), 'not a model');
  server = await startTestServer({ modelsFolder: folder });
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const small = { prompt: 'a red apple', width: 64, height: 64, steps: 2, seed: 1 };
interface Generation {
  readonly images: readonly string[];
  readonly info: string;
}
const modelOf = (body: unknown): unknown => parseInfotext((JSON.parse((body as Generation).info) as { infotexts: string[] }).infotexts[0] ?? '')['Model'];

test('models of the folder go by their names; one that is broken is told by its name alone', async () => {
  const rows = (await server.json('GET', '/sdapi/v1/sd-models')).body as { model_name: string; filename: string }[];
  assert.deepEqual(rows.map((row) => row.model_name), ['pocket', 'broken', 'second']);
  const { models } = (await server.json('GET', '/api/v1/server')).body as { models: { name: string; isDefault: boolean }[] };
  assert.deepEqual(models.map(({ name, isDefault }) => [name, isDefault]), [['pocket', true], ['second', false]]);
  const { status, body } = await server.json('POST', '/api/v1/jobs', { ...small, model: 'broken' });
  assert.ok(status === 422 || status === 500, `${status}`);
  assert.match(JSON.stringify(body), /broken/);
  assert.equal(JSON.stringify(body).includes(folder), false, 'not where it lies');
});

test('a model is chosen by override_settings, by the options, and by OpenAI\'s model', async () => {
  const chosen = async (body: object): Promise<unknown> => modelOf((await server.json('POST', '/sdapi/v1/txt2img', { ...small, ...body })).body);
  assert.equal(await chosen({}), 'pocket');
  assert.equal(await chosen({ override_settings: { sd_model_checkpoint: 'second' } }), 'second');
  assert.equal(await chosen({}), 'pocket', 'for that request alone');
  const [, , second] = (await server.json('GET', '/sdapi/v1/sd-models')).body as { title: string }[];
  assert.equal((await server.json('POST', '/sdapi/v1/options', { sd_model_checkpoint: second?.title })).status, 200);
  assert.equal(await chosen({}), 'second');
  assert.equal((await server.json('POST', '/sdapi/v1/options', { sd_model_checkpoint: 'none' })).status, 404);
  const { body } = await server.json('POST', '/v1/images/generations', { prompt: 'x', model: 'second', size: '64x64', steps: 2 });
  assert.equal((body as { data: object[] }).data.length, 1);
});

test('refresh-checkpoints finds a file that was put there later', async () => {
  add('third.safetensors');
  await server.json('POST', '/sdapi/v1/refresh-checkpoints');
  const { data } = (await server.json('GET', '/v1/models')).body as { data: { id: string }[] };
  assert.deepEqual(data.map(({ id }) => id), ['pocket', 'broken', 'second', 'third']);
});

test('addresses of the public internet and others', () => {
  for (const address of ['8.8.8.8', '1.1.1.1', '2606:4700::1111']) assert.equal(isPublicAddress(address), true, address);
  for (const address of [
    '127.0.0.1', '10.1.2.3', '172.16.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1', '0.0.0.0', '255.255.255.255', '224.0.0.1', '198.51.100.1',
    '::1', '::', 'fe80::1', 'fc00::1', '::ffff:127.0.0.1', '::ffff:8.8.8.8', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:db8::1', 'example.org',
  ]) assert.equal(isPublicAddress(address), false, address);
});

test('a URL is followed to public addresses alone, at every redirect, and within its size', async () => {
  const site = createServer((request, response) => {
    if (request.url === '/a.png') response.end('picture');
    else if (request.url === '/large') response.end(Buffer.alloc(5000));
    else if (request.url === '/loop') response.writeHead(302, { location: '/loop' }).end();
    else if (request.url === '/moved') response.writeHead(301, { location: '/a.png' }).end();
    else if (request.url === '/inside') response.writeHead(302, { location: `http://inside.example:${(site.address() as AddressInfo).port}/a.png` }).end();
    else if (request.url === '/file') response.writeHead(302, { location: 'file:///etc/passwd' }).end();
    else if (request.url === '/slow') response.write('x');
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  // The site stands for one on the internet: its address counts as public, that of inside.example not.
  const names: Record<string, string> = { 'site.example': '127.0.0.1', 'inside.example': '127.0.0.2' };
  const asked: string[] = [];
  const get = (path: string, host = 'site.example') =>
    fetchPicture(`http://${host}:${(site.address() as AddressInfo).port}${path}`, {
      maxBytes: 1000, timeoutMilliseconds: 500, isAllowed: (address) => address === '127.0.0.1',
      resolve: async (name) => {
        asked.push(name);
        return [{ address: names[name] ?? '127.0.0.3', family: 4 }];
      },
    });
  try {
    assert.equal(Buffer.from(await get('/a.png')).toString(), 'picture');
    assert.equal(Buffer.from(await get('/moved')).toString(), 'picture');
    await assert.rejects(get('/a.png', 'inside.example'), { code: 'forbidden' });
    await assert.rejects(get('/inside'), { code: 'forbidden' });
    await assert.rejects(get('/file'), { code: 'forbidden' });
    await assert.rejects(get('/large'), { code: 'too-large' });
    await assert.rejects(get('/loop'), { code: 'network' });
    await assert.rejects(get('/nowhere'), { code: 'network' });
    await assert.rejects(get('/slow'), { code: 'network' });
    assert.ok(asked.includes('inside.example'), 'the name is looked up when the connection is made');
  } finally {
    site.closeAllConnections();
    site.close();
  }
});
