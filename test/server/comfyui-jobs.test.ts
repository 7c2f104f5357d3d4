/** `/api/jobs`, which ComfyUI's page asks for since version 1.34: one list of all workflows (ComfyUI comfy_execution/jobs.py). */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { finishedWorkflows, queueJson } from '../../src/server/comfyui/history.ts';
import type { WorkflowJob } from '../../src/server/job.ts';
import { defaultLimits } from '../../src/server/limits.ts';
import type { JobQueue } from '../../src/server/queue/queue.ts';
import { pocketGraph } from './comfyui-graph.ts';
import { alice, bob, keys } from './callers.ts';
import { startTestServer, type TestServer } from './start.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer({ keys });
});
after(() => server.stop());

interface PageJob {
  readonly id: string;
  readonly status: string;
  readonly create_time: number;
  readonly execution_start_time?: number;
  readonly execution_end_time?: number;
  readonly outputs_count: number;
  readonly preview_output?: Readonly<Record<string, string>>;
  readonly workflow_id?: string;
}
interface Listing {
  readonly jobs: readonly PageJob[];
  readonly pagination: {
    readonly offset: number;
    readonly limit: number | null;
    readonly total: number;
    readonly has_more: boolean;
  };
}

const list = async (query = '', headers = alice): Promise<Listing> =>
  (await server.json('GET', `/api/jobs${query}`, undefined, headers)).body;
async function send(prompt: object, workflowId: string): Promise<string> {
  const extra = { extra_pnginfo: { workflow: { id: workflowId } } };
  const { body } = await server.json('POST', '/prompt', { prompt, extra_data: extra }, alice);
  return (body as { readonly prompt_id: string }).prompt_id;
}
async function inState(id: string, state: string): Promise<PageJob> {
  for (;;) {
    const found = (await list()).jobs.find((job) => job.id === id);
    if (found?.status === state) return found;
    assert.notEqual(found?.status, 'failed');
    await wait(20);
  }
}

test('a finished workflow is listed with its picture, and told whole with exact seeds', async () => {
  const seed = 2 ** 53 - 1;
  const id = await send(pocketGraph({ seed }), 'one');
  const job = await inState(id, 'completed');
  assert.equal(job.outputs_count, 1);
  assert.equal(job.workflow_id, 'one');
  assert.equal(job.preview_output?.['nodeId'], '9');
  assert.equal(job.preview_output?.['mediaType'], 'images');
  assert.equal(job.preview_output?.['type'], 'output');
  assert.ok(job.create_time <= (job.execution_start_time ?? 0));
  assert.ok((job.execution_start_time ?? 0) <= (job.execution_end_time ?? 0));
  const { status, body } = await server.json('GET', `/api/jobs/${id}`, undefined, alice);
  assert.equal(status, 200);
  const whole = body as {
    readonly workflow: { readonly prompt: Record<string, { readonly inputs: object }> };
    readonly outputs: object;
  };
  assert.deepEqual(whole.workflow.prompt['3']?.inputs, pocketGraph({ seed })['3']?.inputs);
  assert.deepEqual(Object.keys(whole.outputs), ['9']);
});

test('workflows that run and wait are listed, and cancelled', async () => {
  const running = await send(pocketGraph({ seed: 2, steps: 150 }), 'two');
  await inState(running, 'in_progress');
  const waiting = await send(pocketGraph({ seed: 3, steps: 150 }), 'three');
  const open = await list('?status=pending,in_progress');
  assert.deepEqual(
    open.jobs.map(({ id, status }) => [id, status]),
    [
      [waiting, 'pending'],
      [running, 'in_progress'],
    ],
  );
  assert.deepEqual(
    (await list('?workflow_id=two')).jobs.map(({ id }) => id),
    [running],
  );
  const cancel = (path: string, body?: object) => server.json('POST', path, body, alice);
  assert.deepEqual((await cancel('/api/jobs/cancel', { job_ids: [waiting, 'none'] })).body, { cancelled: [waiting] });
  assert.deepEqual((await cancel(`/api/jobs/${running}/cancel`)).body, { cancelled: true });
  assert.equal((await inState(running, 'cancelled')).outputs_count, 0);
  assert.deepEqual((await cancel(`/api/jobs/${running}/cancel`)).body, { cancelled: false });
  assert.equal((await cancel('/api/jobs/cancel', { job_ids: 'all' })).status, 400);
});

test('a part of the list says whether more follows, and wrong queries are named', async () => {
  const { jobs, pagination } = await list('?limit=1&sort_order=asc');
  assert.equal(jobs[0]?.workflow_id, 'one');
  assert.deepEqual(pagination, { offset: 0, limit: 1, total: 2, has_more: true });
  assert.equal((await list('?limit=1&offset=1')).pagination.has_more, false);
  const wrong = async (query: string) => {
    const { status, body } = await server.json('GET', `/api/jobs?${query}`, undefined, alice);
    return [status, (body as { readonly error: string }).error];
  };
  assert.deepEqual(await wrong('limit=0'), [400, 'limit must be a positive integer']);
  assert.deepEqual(await wrong('limit=x'), [400, 'limit must be an integer']);
  assert.deepEqual(await wrong('sort_by=name'), [400, "sort_by must be 'created_at' or 'execution_duration'"]);
  assert.match(String((await wrong('status=done'))[1]), /^Invalid status value\(s\): done\. Valid values: pending/);
});

test('a caller sees nothing of another', async () => {
  const id = (await list()).jobs[0]?.id ?? '';
  assert.equal((await list('', bob)).jobs.length, 0);
  assert.equal((await server.json('GET', `/api/jobs/${id}`, undefined, bob)).status, 404);
  const { body } = await server.json('GET', '/global_subgraphs', undefined, bob);
  assert.deepEqual(body, {});
});

test('a history without an end is read to 32 MiB, for one request of a caller at a time and in turn with others', async () => {
  let [reading, most, turns] = [0, 0, 0];
  const request = { task: 'workflow', prompt: ' '.repeat(2 ** 20), extra: '{}' };
  const queue = {
    async list() {
      most = Math.max(most, ++reading);
      await wait(1);
      reading--;
      return { jobs: [{ id: 'a', state: 'done', request }], next: 'a' };
    },
  } as unknown as JobQueue;
  const others = setInterval(() => turns++, 1);
  const counted = async (): Promise<number> => {
    let count = 0;
    for await (const { id } of finishedWorkflows({ queue, limits: defaultLimits }, 'x')) count += id.length;
    return count;
  };
  assert.deepEqual(await Promise.all([counted(), counted()]), [31, 31]);
  clearInterval(others);
  assert.equal(most, 1);
  assert.ok(turns > 0);
});

test('a list of large workflows is put together in parts, between which others have their turn', async () => {
  const request = { prompt: '{}', extra: JSON.stringify({ x: 'x'.repeat(2 ** 20) }), outputs: ['9'] };
  const jobs = Array.from({ length: 5 }, (_, number) => ({ request: { ...request, number, promptId: `${number}` } }));
  let [turns, isOver] = [0, false];
  const count = (): void => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const bytes = await queueJson('alice', [], jobs as unknown as readonly WorkflowJob[]);
  isOver = true;
  assert.ok(turns >= 5, `${turns} turns of others`);
  const { queue_running: running, queue_pending: items } = JSON.parse(Buffer.from(bytes).toString()) as Readonly<
    Record<'queue_running' | 'queue_pending', readonly (readonly [number, string])[]>
  >;
  assert.deepEqual(running, []);
  assert.deepEqual(
    items.map(([number, id]) => [number, id]),
    [0, 1, 2, 3, 4].map((number) => [number, `${number}`]),
  );
});

test('the queue asked for again is the same answer in memory, until it changes', async () => {
  const job = (id: string) => ({ request: { number: 1, promptId: id, prompt: '{}', extra: '{}', outputs: [] } });
  const [one, other] = [job('one'), job('other')] as unknown as readonly [WorkflowJob, WorkflowJob];
  const first = await queueJson('carol', [], [one]);
  assert.equal(await queueJson('carol', [], [one]), first);
  assert.notEqual(await queueJson('dave', [], [one]), first);
  const more = await queueJson('carol', [one], [other]);
  assert.notEqual(more, first);
  assert.match(Buffer.from(more).toString(), /^{"queue_running":\[\[1,"one".*"queue_pending":\[\[1,"other"/);
});
