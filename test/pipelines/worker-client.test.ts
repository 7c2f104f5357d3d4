/** The page's end of a worker, against ports that answer as a worker does or not at all. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectWorker, type WorkerPort } from '../../src/worker/client-web.ts';
import type { WorkerReply, WorkerRequest } from '../../src/worker/protocol-web.ts';

type Answer = (request: WorkerRequest) => WorkerReply | undefined;

function portOf(answer: Answer): WorkerPort & { readonly terminated: () => boolean } {
  let hear: (event: MessageEvent<WorkerReply>) => void = () => {};
  let terminated = false;
  return {
    postMessage(request) {
      const reply = answer(request);
      if (reply) queueMicrotask(() => hear({ data: reply } as MessageEvent<WorkerReply>));
    },
    addEventListener(type: string, listener: (event: never) => void) {
      if (type === 'message') hear = listener as typeof hear;
    },
    terminate: () => {
      terminated = true;
    },
    terminated: () => terminated,
  };
}

const step: WorkerReply = { id: 1, kind: 'event', event: { kind: 'stage', stage: 'sampling' } };
const job = { task: 'txt2img', prompt: 'x' } as const;

async function abortedRun(
  answer: Answer,
  patience: number | undefined,
): Promise<{ readonly code: unknown; readonly terminated: boolean; readonly isStopped: boolean }> {
  const port = portOf(answer);
  const worker = connectWorker(port);
  const controller = new AbortController();
  let code: unknown;
  try {
    for await (const _ of worker.generate(job, {
      signal: controller.signal,
      patience,
    }))
      controller.abort();
  } catch (error) {
    code = (error as { code?: unknown }).code;
  }
  // No clock goes on after the run has ended.
  await new Promise((resolve) => setTimeout(resolve, 40));
  return { code, terminated: port.terminated(), isStopped: worker.isStopped };
}

test('a worker that does not hear an abort in time is terminated', async () => {
  const deaf: Answer = ({ kind }) => (kind === 'generate' ? step : undefined);
  assert.deepEqual(await abortedRun(deaf, 20), { code: 'aborted', terminated: true, isStopped: true });
});

test('a worker that ends by itself is kept', async () => {
  const quick: Answer = ({ kind, id }) =>
    kind === 'generate'
      ? step
      : kind === 'abort'
        ? { id, kind: 'error', code: 'aborted', message: 'It was stopped.', details: {} }
        : undefined;
  for (const patience of [20, undefined]) {
    assert.deepEqual(await abortedRun(quick, patience), { code: 'aborted', terminated: false, isStopped: false });
  }
});
