/** The routes in a Fastify application of one's own, https, the output folder with its gallery, `/docs`, and Gemini's routes. */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { fastify } from 'fastify';
import { inspectImageFile } from '../../src/image/codec/image-file.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { StableDiffusionError } from '../../src/errors.ts';
import { sdRoutes } from '../../src/server/plugin.ts';
import { routes } from '../../src/server/routes/index.ts';
import { base64Png, startTestServer, type TestServer, testImage } from './start.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-plugin-'));
const outputFolder = join(folder, 'outputs');
const tls = {
  cert: readFileSync(join(import.meta.dirname, '../../fixtures/tls/localhost.crt')),
  key: readFileSync(join(import.meta.dirname, '../../fixtures/tls/localhost.key')),
};
let server: TestServer;
before(async () => {
  server = await startTestServer({ outputFolder });
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const small = { prompt: 'red apple', width: 64, height: 64, steps: 1, seed: 5 };

test('sdRoutes: below a prefix, beside routes of the application, with its own idea of who calls', async () => {
  const app = fastify({ logger: false });
  app.get('/', async () => 'mine');
  await app.register(sdRoutes, {
    prefix: '/pictures',
    model: pocketModel,
    dataFolder: join(folder, 'data'),
    authenticate({ headers }) {
      const user = headers['x-user'];
      if (typeof user === 'string') return user;
      throw new StableDiffusionError('forbidden', 'Who are you?', { details: { status: 401 } });
    },
  });
  const call = async (url: string, user?: string, payload?: object) => {
    const headers = user === undefined ? {} : { 'x-user': user };
    const answer = await app.inject({ url, headers, ...(payload ? { method: 'POST', payload } : {}) });
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() };
  };
  assert.equal((await app.inject('/')).body, 'mine');
  assert.equal((await call('/pictures/api/v1/jobs')).status, 401);
  assert.equal((await call('/api/v1/jobs', 'ann')).status, 404);
  const { status, body } = await call('/pictures/v1/images/generations', 'ann', {
    prompt: 'x',
    size: '64x64',
    steps: 1,
    response_format: 'url',
  });
  assert.equal(status, 200, JSON.stringify(body));
  const { pathname, search } = new URL((body as { data: { url: string }[] }).data[0]?.url ?? '');
  assert.match(pathname, /^\/pictures\/api\/v1\/results\//);
  const picture = await app.inject(pathname + search);
  assert.equal(picture.statusCode, 200, 'a signed link needs no user');
  const jobs = (
    (await call('/pictures/api/v1/jobs', 'ann')).body as { jobs: { result: { images: { url: string }[] } }[] }
  ).jobs;
  assert.match(jobs[0]?.result.images[0]?.url ?? '', /^\/pictures\/api/);
  assert.deepEqual((await call('/pictures/api/v1/jobs', 'bob')).body, { jobs: [], next: null });
  assert.deepEqual((await call('/pictures/sdapi/v1/none', 'ann')).body, { detail: 'Not Found' });
  assert.deepEqual((await call('/pictures/openapi.json', 'ann')).body.servers, [{ url: '/pictures' }]);
  await app.close();
});

test('authenticate may be asynchronous; whom it does not name is a stranger, however it says so', async () => {
  const app = fastify({ logger: false });
  const answers: Record<string, () => string | Promise<string>> = {
    ann: async () => 'ann',
    nobody: () => '',
    nothing: () => undefined as unknown as string,
    thrown: () => {
      throw new Error('a secret of the database');
    },
    rejected: async () => Promise.reject(new Error('no session')),
    forbidden: () => {
      throw Object.assign(new Error('Your month is used up.'), { statusCode: 403 });
    },
  };
  let asked = 0;
  await app.register(sdRoutes, {
    dataFolder: join(folder, 'asynchronous'),
    authenticate({ headers }) {
      asked++;
      return answers[String(headers['x-user'])]?.() ?? '';
    },
  });
  const call = (user: string) => app.inject({ url: '/v1/models', headers: { 'x-user': user } });
  const statuses: Record<string, number> = {};
  for (const user of Object.keys(answers)) statuses[user] = (await call(user)).statusCode;
  assert.deepEqual(statuses, { ann: 200, nobody: 401, nothing: 401, thrown: 401, rejected: 401, forbidden: 403 });
  assert.equal(asked, Object.keys(answers).length, 'once a request');
  assert.doesNotMatch((await call('thrown')).body, /secret/);
  // Without `model` it is the one that comes with the program.
  assert.deepEqual(
    (await call('ann')).json().data.map(({ id }: { id: string }) => id),
    ['pocket'],
  );
  await app.close();
});

test('options that cannot work are refused by name, and leave the folder free', async () => {
  const dataFolder = join(folder, 'refused');
  for (const [options, message] of [
    [{ dataFolder: undefined }, /dataFolder is required/],
    [{ device: 'mps' }, /Unknown device "mps".*cpu/],
    [{ concurrency: 0 }, /concurrency must be a whole number from 1, got 0/],
    [{ modelsInMemory: Number.NaN }, /modelsInMemory/],
    [{ limits: { steps: -1 } }, /limit steps must be a positive number/],
    [{ limits: { stepz: 5 } }, /no limit "stepz"/],
    [{ model: 'nosuch.safetensors' }, /nosuch\.safetensors does not exist/],
    [{ model: 'sd-v15' }, /Did you mean sd-v1-5/],
    [{ dataFolder: '/proc/x' }, /cannot be kept in \/proc\/x/],
  ] as const) {
    const app = fastify({ logger: false });
    await assert.rejects(async () => {
      await app.register(sdRoutes, { dataFolder, ...(options as object) });
      await app.ready();
    }, message);
    await app.close();
  }
  const app = fastify({ logger: false });
  await app.register(sdRoutes, { dataFolder });
  await app.ready();
  await app.close();
});

test('with a certificate the server answers https', async () => {
  const secure = await startTestServer({ tls });
  try {
    assert.match(secure.url, /^https:/);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const { hostname, port } = new URL(secure.url);
      request({ hostname, port, path: '/healthz', ca: tls.cert, servername: 'localhost' }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on('error', reject)
        .end();
    });
    assert.equal(status, 200);
  } finally {
    await secure.stop();
  }
});

test('pictures lie in the output folder by day, number and seed; the gallery shows them', async () => {
  for (const seed of [5, 6]) await server.json('POST', '/sdapi/v1/txt2img', { ...small, seed });
  const [day = ''] = readdirSync(outputFolder);
  assert.match(day, /^\d{4}-\d{2}-\d{2}$/);
  assert.deepEqual(readdirSync(join(outputFolder, day)).sort(), ['00001-5.png', '00002-6.png']);
  assert.match(readImageMetadata(readFileSync(join(outputFolder, day, '00001-5.png'))).parameters ?? '', /Seed: 5/);
  const list = async (query: string) =>
    (await server.json('GET', `/api/v1/gallery${query}`)).body as {
      pictures: { name: string; url: string; thumbnail: string }[];
      next: string | null;
    };
  const first = await list('?limit=1');
  assert.deepEqual(
    first.pictures.map(({ name }) => name),
    [`${day}/00002-6.png`],
  );
  const second = await list(`?limit=1&before=${encodeURIComponent(first.next ?? '')}`);
  assert.deepEqual(
    second.pictures.map(({ name }) => name),
    [`${day}/00001-5.png`],
  );
  const { url = '', thumbnail = '' } = second.pictures[0] ?? {};
  const bytesOf = async (path: string) => new Uint8Array(await (await fetch(server.url + path)).arrayBuffer());
  assert.deepEqual(await bytesOf(url), new Uint8Array(readFileSync(join(outputFolder, day, '00001-5.png'))));
  assert.equal(inspectImageFile(await bytesOf(thumbnail)).format, 'jpeg');
  for (const name of ['../plugin.test.ts', `${day}/../../x.png`, `${day}/00009-1.png`, '/etc/passwd'])
    assert.equal(
      (await server.json('GET', `/api/v1/gallery/picture?name=${encodeURIComponent(name)}`)).status,
      404,
      name,
    );
});

test('/docs is a page without scripts that lists every route', async () => {
  const answer = await fetch(`${server.url}/docs`);
  assert.match(answer.headers.get('content-type') ?? '', /html/);
  const page = await answer.text();
  for (const { path, summary } of routes) {
    assert.ok(page.includes(`<code>${path}</code>`), path);
    assert.ok(page.includes(/^[\w ]+/.exec(summary)?.[0] ?? ''), summary);
  }
  assert.doesNotMatch(page, /<script/);
});

test("Gemini's generateContent and Imagen's predict", async () => {
  const call = (method: string, body: object, model = 'gemini-2.5-flash-image') =>
    server.json('POST', `/v1beta/models/${model}:${method}`, body);
  const parts = [{ text: 'red apple' }];
  const { status, body } = await call('generateContent', {
    contents: [{ role: 'user', parts }],
    generationConfig: { responseModalities: ['TEXT', 'IMAGE'], imageConfig: { aspectRatio: '2:1' }, seed: 3 },
  });
  assert.equal(status, 200, JSON.stringify(body));
  const { candidates } = body as {
    candidates: { finishReason: string; content: { parts: { inlineData: { mimeType: string; data: string } }[] } }[];
  };
  const { mimeType, data } = candidates[0]?.content.parts[0]?.inlineData ?? { mimeType: '', data: '' };
  assert.equal(mimeType, 'image/png');
  const { width, height } = inspectImageFile(new Uint8Array(Buffer.from(data, 'base64')));
  assert.ok(width > height, `${width} x ${height}`);
  const edited = await call('generateContent', {
    contents: {
      parts: [...parts, { inline_data: { mime_type: 'image/png', data: await base64Png(testImage(64, 64)) } }],
    },
  });
  assert.equal(edited.status, 200, JSON.stringify(edited.body));
  const predicted = await call('predict', {
    instances: { prompt: 'red apple' },
    parameters: { sampleCount: 2, outputOptions: { mimeType: 'image/jpeg' } },
  });
  const { predictions } = predicted.body as { predictions: { mimeType: string; bytesBase64Encoded: string }[] };
  assert.deepEqual(
    predictions.map((one) => one.mimeType),
    ['image/jpeg', 'image/jpeg'],
  );
  const refused = await call('generateContent', { contents: [] });
  assert.equal(refused.status, 400);
  assert.equal((refused.body as { error: { status: string } }).error.status, 'INVALID_ARGUMENT');
  assert.equal((await call('predict', { instances: [{ prompt: 'x' }] }, 'nosuch')).status, 404);
});
