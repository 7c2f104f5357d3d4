/** The jobs API: jobs that outlive their request, their events, and results named by their content. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test, { after, before } from 'node:test';
import { alice, bob, keys } from './callers.ts';
import { base64Png, decode, png, startTestServer, type TestServer, testImage } from './start.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer({ keys });
});
after(() => server.stop());

interface JobView {
  readonly id: string;
  readonly state: string;
  readonly request: Record<string, unknown>;
  readonly progress: { readonly done: number; readonly total: number } | null;
  readonly result: {
    readonly images: readonly {
      readonly id: string;
      readonly url: string;
      readonly seed: number;
      readonly infotext: string;
      readonly mediaType: string;
    }[];
    readonly interrupted: boolean;
  } | null;
  readonly error: { readonly code: string } | null;
}
const small = { prompt: 'a red apple', width: 64, height: 64, steps: 2 };
const long = { ...small, steps: 150, iterations: 8 };

const post = async (body: unknown, headers: Record<string, string> = alice) => {
  const { status, headers: answered, body: job } = await server.json('POST', '/api/v1/jobs', body, headers);
  return { status, headers: answered, job: job as JobView };
};
const get = async (id: string): Promise<JobView> =>
  (await server.json('GET', `/api/v1/jobs/${id}`, undefined, alice)).body;

interface Event {
  readonly event: string;
  readonly data: Record<string, unknown>;
}
/** The events of a job until it has ended. */
async function* events(id: string, query = ''): AsyncGenerator<Event> {
  const response = await fetch(`${server.url}/api/v1/jobs/${id}/events${query}`, { headers: alice });
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  let text = '';
  assert.ok(response.body);
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = new Map(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()] as const),
      );
      text = text.slice(end + 2);
      const data = fields.get('data');
      if (data !== undefined)
        yield { event: fields.get('event') ?? 'message', data: JSON.parse(data) as Record<string, unknown> };
    }
  }
}
async function ended(id: string): Promise<JobView> {
  for await (const { event, data } of events(id, '?previews=false'))
    if (event === 'result' || event === 'error') return data as unknown as JobView;
  throw new Error('The events ended before the job.');
}

test("a job's prompt is plain text, or in A1111's syntax where it says so", async () => {
  const pictures = await Promise.all(
    [{}, { promptSyntax: 'plain' }, { promptSyntax: 'a1111' }].map(async (syntax) => {
      const { job } = await post({ ...small, seed: 3, prompt: '(red:1.6) apple', ...syntax });
      assert.equal(
        job.request['promptSyntax'],
        'promptSyntax' in syntax && syntax.promptSyntax === 'a1111' ? 'a1111' : undefined,
      );
      return (await ended(job.id)).result?.images[0]?.id;
    }),
  );
  assert.equal(pictures[0], pictures[1]);
  assert.notEqual(pictures[0], pictures[2]);
  assert.equal((await post({ ...small, promptSyntax: 'comfy' })).status, 422);
});

test('a job is accepted, made, and its picture fetched by the SHA-256 of its bytes', async () => {
  const { status, headers, job } = await post({ ...small, seed: 5, batchSize: 2 });
  assert.equal(status, 202);
  assert.equal(headers.get('location'), `/api/v1/jobs/${job.id}`);
  assert.ok(['queued', 'running'].includes(job.state));
  const done = await ended(job.id);
  assert.equal(done.state, 'done');
  assert.deepEqual(
    done.result?.images.map(({ seed }) => seed),
    [5, 6],
  );
  for (const { id, url } of done.result?.images ?? []) {
    const answer = await fetch(server.url + url, { headers: alice });
    const bytes = Buffer.from(await answer.arrayBuffer());
    assert.equal(createHash('sha256').update(bytes).digest('hex'), id);
    assert.match(answer.headers.get('cache-control') ?? '', /immutable/);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  }
  const same = await ended((await post({ ...small, seed: 5 })).job.id);
  assert.equal(same.result?.images[0]?.id, done.result?.images[0]?.id, 'the same picture is the same file');
  assert.deepEqual(await get(job.id), done);
});

test('events: state, steps, previews, and the result at the end', async () => {
  const { job } = await post({ ...small, steps: 12, previews: 3 });
  const heard: Event[] = [];
  for await (const event of events(job.id)) heard.push(event);
  assert.equal(heard[0]?.event, 'state');
  assert.equal(heard.at(-1)?.event, 'result');
  const steps = heard.filter(({ event }) => event === 'step').map(({ data }) => data['step'] as number);
  assert.ok(steps.length > 3, `${steps.length} steps were told`);
  assert.deepEqual(
    steps,
    [...steps].sort((a, b) => a - b),
  );
  const previews = heard.filter(({ event }) => event === 'preview');
  assert.ok(previews.length > 0, 'a preview was told');
  const { width, height } = await decode(String(previews[0]?.data['data']));
  assert.ok(width > 0 && width === height);
  const later: string[] = [];
  for await (const { event } of events(job.id)) later.push(event);
  assert.deepEqual(later, ['result'], 'who comes late hears the end');
  const silent: string[] = [];
  for await (const { event } of events((await post({ ...small, previews: 1, steps: 5 })).job.id, '?previews=false'))
    silent.push(event);
  assert.equal(silent.includes('preview'), false);
});

test('a running and a waiting job are cancelled; a running one can be interrupted for what there is', async () => {
  const [running, waiting] = [(await post(long)).job, (await post({ ...long, steps: 149 })).job];
  for await (const { event } of events(running.id)) if (event === 'step') break;
  assert.ok((await get(running.id)).progress?.total === 8 * 150);
  assert.equal(
    ((await server.json('DELETE', `/api/v1/jobs/${waiting.id}`, undefined, alice)).body as JobView).state,
    'cancelled',
  );
  assert.equal(
    ((await server.json('DELETE', `/api/v1/jobs/${running.id}`, undefined, alice)).body as JobView).state,
    'cancelled',
  );
  assert.equal((await ended(running.id)).state, 'cancelled');
  const third = (await post(long)).job;
  for await (const { event } of events(third.id)) if (event === 'step') break;
  await server.json('POST', `/api/v1/jobs/${third.id}/interrupt`, undefined, alice);
  const stopped = await ended(third.id);
  assert.equal(stopped.state, 'done');
  assert.equal(stopped.result?.interrupted, true);
  assert.ok((stopped.result?.images.length ?? 0) < 8);
});

test('the same Idempotency-Key is the same job, for each caller', async () => {
  const key = { 'idempotency-key': 'order 17' };
  const [first, again, other] = [
    await post(small, { ...alice, ...key }),
    await post(small, { ...alice, ...key }),
    await post(small, { ...bob, ...key }),
  ];
  assert.equal(first.job.id, again.job.id);
  assert.notEqual(first.job.id, other.job.id);
  const changed = await post({ ...small, steps: 3 }, { ...alice, ...key });
  assert.equal(changed.status, 422);
  const { error } = changed.job as unknown as {
    error: { code: string; message: string; issues: { where: string }[] };
  };
  assert.equal(error.code, 'invalid-argument');
  assert.match(error.message, /Idempotency-Key .* another body/);
  assert.equal(error.issues[0]?.where, 'header.Idempotency-Key');
  await ended(first.job.id);
  assert.equal((await post(small, { ...alice, ...key })).job.id, first.job.id);
  assert.equal('bodyDigest' in (await get(first.job.id)).request, false);
});

test('jobs are listed, the newest first, page by page, to their own caller', async () => {
  const made: string[] = [];
  for (let i = 0; i < 3; i++) made.unshift((await post({ ...small, seed: i })).job.id);
  await ended(made[0] ?? '');
  const list = async (query: string, headers = alice) =>
    (await server.json('GET', `/api/v1/jobs?${query}`, undefined, headers)).body as {
      jobs: JobView[];
      next: string | null;
    };
  const first = await list('limit=2&state=done');
  assert.deepEqual(
    first.jobs.map(({ id }) => id),
    made.slice(0, 2),
  );
  assert.equal((await list(`limit=2&before=${first.next}`)).jobs[0]?.id, made[2]);
  assert.equal(
    (await list('limit=100', bob)).jobs.some(({ id }) => made.includes(id)),
    false,
  );
  assert.equal((await server.json('GET', `/api/v1/jobs/${made[0]}`, undefined, bob)).status, 404);
  assert.equal((await server.json('DELETE', `/api/v1/jobs/${made[0]}`, undefined, bob)).status, 404);
});

test('a picture is stored once, as a form or base64, and jobs begin from it by its id', async () => {
  const form = new FormData();
  form.set('image', new Blob([Buffer.from(await png(testImage(96, 64)))], { type: 'image/png' }), 'a.png');
  const sent = await fetch(`${server.url}/api/v1/pictures`, { method: 'POST', body: form, headers: alice });
  assert.equal(sent.status, 201);
  const { id } = (await sent.json()) as { id: string };
  const again = await server.json(
    'POST',
    '/api/v1/pictures',
    { image: `data:image/png;base64,${await base64Png(testImage(96, 64))}` },
    alice,
  );
  assert.equal((again.body as { id: string }).id, id);
  const { job } = await post({ ...small, width: 96, task: 'img2img', image: id, strength: 0.5 });
  const mask = await base64Png(testImage(96, 64, 'mask'));
  const painted = await post({
    ...small,
    width: 96,
    task: 'inpaint',
    image: id,
    mask,
    inpaint: { blur: 0, onlyMaskedPadding: 8 },
  });
  for (const made of [await ended(job.id), await ended(painted.job.id)]) assert.equal(made.state, 'done');
});

test('wrong jobs are refused, field by field', async () => {
  const refused = async (body: unknown, status: number, field?: string): Promise<void> => {
    const answer = await post(body);
    assert.equal(answer.status, status, JSON.stringify(body));
    const { error } = answer.job as unknown as { error: { code: string; issues?: { where: string }[] } };
    assert.equal(typeof error.code, 'string');
    if (field) assert.equal(error.issues?.[0]?.where, `body.${field}`);
  };
  await refused({ ...small, steps: 'two' }, 422, 'steps');
  await refused({ ...small, steps: 1e6 }, 422, 'steps');
  await refused({ ...small, width: 65536 }, 422, 'width');
  await refused({ ...small, width: 16384, height: 16384 }, 422, 'width');
  await refused({ ...small, sampler: 'Magic' }, 422, 'sampler');
  await refused({ ...small, model: 'none' }, 404, 'model');
  await refused({ ...small, task: 'img2img' }, 422, 'image');
  await refused({ ...small, task: 'img2img', image: '0'.repeat(64) }, 404, 'image');
  await refused({ ...small, batchSize: 1000 }, 422, 'batchSize');
  await refused({ ...small, prompt: 'x'.repeat(20_000) }, 422, 'prompt');
  await refused([], 422);
  assert.equal((await server.json('GET', '/api/v1/jobs?limit=1000', undefined, alice)).status, 422);
});
