/** Webhooks: signed, tried again, bounded, and never to private networks unless the operator allows it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { type TestContext } from 'node:test';
import type { StableDiffusionError } from '../../src/errors.ts';
import { checkWebhook, createWebhooks, webhookSignature } from '../../src/server/webhook.ts';
import { startTestServer } from './start.ts';

interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A receiver that answers with the given statuses, the last for ever. */
async function receiver(context: TestContext, statuses: readonly number[]) {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    response.statusCode = statuses[Math.min(received.length, statuses.length - 1)] ?? 200;
    received.push({ headers: request.headers, body });
    response.end();
    server.emit('called', received.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => server.close());
  const until = async (count: number): Promise<void> => {
    while (received.length < count) await once(server, 'called');
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/done`, received, until };
}

test('a call is signed as Standard Webhooks say, and tried again under the same id', async (context) => {
  const { url, received, until } = await receiver(context, [500, 204]);
  const webhooks = createWebhooks({ secret: 'key', allowsPrivate: true, onFailure: () => {}, pauses: [1, 1] });
  webhooks.send({ owner: 'alice', url, id: 'job-1', body: { type: 'job.done' } });
  await until(2);
  await webhooks.stop();
  for (const { headers, body } of received) {
    assert.equal(headers['webhook-id'], 'job-1');
    assert.deepEqual(JSON.parse(body), { type: 'job.done' });
    assert.equal(
      headers['webhook-signature'],
      webhookSignature('key', 'job-1', Number(headers['webhook-timestamp']), body),
    );
  }
  // The example of the specification: HMAC-SHA256 of id.time.body.
  const secret = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
  assert.equal(
    webhookSignature(secret, 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}'),
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  );
});

test('private addresses are refused at once; what fails is told after the last try', async (context) => {
  const { url, received } = await receiver(context, [500]);
  const failed = (allowsPrivate: boolean, address = url): Promise<StableDiffusionError> =>
    new Promise((resolve) => {
      const onFailure = (_call: unknown, error: unknown): void => resolve(error as StableDiffusionError);
      createWebhooks({ secret: 'key', allowsPrivate, onFailure, pauses: [1] }).send({
        owner: 'alice',
        url: address,
        id: 'a',
        body: {},
      });
    });
  assert.equal((await failed(false)).code, 'forbidden');
  assert.equal((await failed(false, url.replace('127.0.0.1', 'localhost'))).code, 'forbidden');
  assert.equal(received.length, 0);
  assert.equal((await failed(true)).code, 'network');
  assert.equal(received.length, 2);
  for (const address of ['ftp://example.org', 'https://a:b@example.org', 'nothing', 'file:///etc/passwd'])
    assert.throws(
      () => checkWebhook(address),
      (error: StableDiffusionError) => ['forbidden', 'invalid-argument'].includes(error.code),
    );
});

test('receivers of one caller that fail, or never answer, keep nobody else waiting', async (context) => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  context.after(() => silent.close().closeAllConnections());
  const never = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/`;
  const failing = await receiver(context, [500]);
  const { url, until } = await receiver(context, [200]);
  const failures: unknown[] = [];
  const webhooks = createWebhooks({
    secret: 'key',
    allowsPrivate: true,
    onFailure: ({ id }) => failures.push(id),
    pauses: [3_600_000],
  });
  const of = (owner: string, address: string, count: number): void => {
    for (let i = 0; i < count; i++) webhooks.send({ owner, url: address, id: `${owner}${i}`, body: {} });
  };
  of('alice', never, 600);
  of('carol', failing.url, 20);
  await failing.until(20);
  of('bob', url, 3);
  await until(3);
  // Two are under way, 500 wait.
  assert.equal(failures.length, 98);
  await webhooks.stop();
  // What waits between two tries is told as given up.
  assert.equal(failures.filter((id) => String(id).startsWith('carol')).length, 20);
});

test('the end of a job is posted with its view', async (context) => {
  const { url, received, until } = await receiver(context, [200]);
  const server = await startTestServer({ policy: { webhooks: 'private' }, webhookSecret: 'a-secret' });
  const job = { prompt: 'x', width: 64, height: 64, steps: 1, webhook: url };
  try {
    const { body } = await server.json('POST', '/api/v1/jobs', job);
    await until(1);
    const told = JSON.parse(received[0]?.body ?? '') as {
      type: string;
      job: { id: string; result: { images: object[] } };
    };
    assert.equal(told.type, 'job.done');
    assert.equal(told.job.id, (body as { id: string }).id);
    assert.equal(told.job.result.images.length, 1);
    assert.equal((await server.json('POST', '/api/v1/jobs', { ...job, webhook: 'ftp://x' })).status, 403);
  } finally {
    await server.stop();
  }
  const silent = await startTestServer();
  assert.equal((await silent.json('POST', '/api/v1/jobs', job)).status, 403);
  await silent.stop();
});
