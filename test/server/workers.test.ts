/** Two servers and a worker on one Redis: what one accepts the worker makes and the other gives out. Skipped where redis-server is not installed. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { type RunningWorker, startWorker } from '../../src/server/server.ts';
import { noRedis, startRedis, type TestRedis } from './redis-server.ts';
import { base64Png, decode, startTestServer, type TestServer, testImage } from './start.ts';

const skip = noRedis;
const headers = { 'x-api-key': 'a-secret-of-bob' };
let redis: TestRedis;
let servers: readonly TestServer[] = [];
let worker: RunningWorker;
before(async () => {
  if (skip) return;
  redis = await startRedis();
  const options = { redis: redis.url, work: false, keys: [{ name: 'bob', secret: headers['x-api-key'] }] };
  servers = [await startTestServer(options), await startTestServer(options)];
  worker = await startWorker({ model: pocketModel, dataFolder: '', redis: redis.url, logLevel: 'silent' });
});
after(async () => {
  if (skip) return;
  await worker.stop();
  for (const server of servers) await server.stop();
  await redis.stop();
});

const both = (): [TestServer, TestServer] => {
  const [first, second] = servers;
  assert.ok(first && second);
  return [first, second];
};
const small = { prompt: 'a red apple', width: 64, height: 64, steps: 2, seed: 1 };

test('a picture through one server, its job and file through the other', { skip }, async () => {
  const [first, second] = both();
  const { status, body } = await first.json(
    'POST',
    '/sdapi/v1/img2img',
    { ...small, init_images: [await base64Png(testImage(64, 64))] },
    headers,
  );
  assert.equal(status, 200);
  const { images, info } = body as { images: string[]; info: string };
  assert.equal((await decode(images[0] ?? '')).width, 64);
  const { job_id } = JSON.parse(info) as { job_id: string };
  const job = (await second.json('GET', `/api/v1/jobs/${job_id}`, undefined, headers)).body as {
    state: string;
    result: { images: { url: string }[] };
  };
  assert.equal(job.state, 'done');
  const file = await fetch(second.url + (job.result.images[0]?.url ?? ''), { headers });
  assert.equal(Buffer.from(await file.arrayBuffer()).toString('base64'), images[0]);
});

test('a link of one server is honoured by the other', { skip }, async () => {
  const [first, second] = both();
  const { body } = await first.json(
    'POST',
    '/v1/images/generations',
    { prompt: 'x', size: '64x64', steps: 2, response_format: 'url' },
    headers,
  );
  const { pathname, search } = new URL((body as { data: { url: string }[] }).data[0]?.url ?? '');
  const { expires, signature } = Object.fromEntries(new URLSearchParams(search));
  assert.equal((await fetch(`${second.url}${pathname}?expires=${expires}&signature=${signature}`)).status, 200);
});

test('progress, previews and interrupt reach the worker', { skip }, async () => {
  const [first] = both();
  const making = first.json('POST', '/sdapi/v1/txt2img', { ...small, steps: 150, n_iter: 8 }, headers);
  const progress = async () =>
    (await first.json('GET', '/sdapi/v1/progress', undefined, headers)).body as {
      progress: number;
      current_image: string | null;
    };
  while (!(await progress()).current_image) await new Promise((resolve) => setTimeout(resolve, 20));
  await first.json('POST', '/sdapi/v1/interrupt', undefined, headers);
  const { status, body } = await making;
  assert.equal(status, 200);
  assert.ok((body as { images: string[] }).images.length < 8);
});

test('without a worker a server says so, instead of letting its clients wait', { skip }, async (t) => {
  const alone = await startTestServer({ redis: redis.url, redisPrefix: 'alone', work: false });
  t.after(() => alone.stop());
  const ready = await alone.json('GET', '/readyz');
  assert.equal(ready.status, 503);
  assert.match(JSON.stringify(ready.body), /No worker takes the jobs/);
  const refused = await alone.json('POST', '/sdapi/v1/txt2img', small);
  assert.equal(refused.status, 503);
  assert.match(JSON.stringify(refused.body), /No worker takes the jobs of this server\. Start one: sd worker/);
  const { status, body } = await alone.json('POST', '/api/v1/jobs', small);
  assert.equal(status, 202);
  assert.match((body as { warnings: string[] }).warnings.join(), /No worker takes the jobs/);
  const late = await startWorker({
    model: pocketModel,
    dataFolder: '',
    redis: redis.url,
    redisPrefix: 'alone',
    logLevel: 'silent',
  });
  t.after(() => late.stop());
  const { id } = body as { id: string };
  const state = async (): Promise<string> =>
    ((await alone.json('GET', `/api/v1/jobs/${id}`)).body as { state: string }).state;
  while ((await state()) !== 'done') await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual((await alone.json('GET', '/readyz')).body, { status: 'ready' });
});
