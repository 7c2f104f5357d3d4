/** Control models that stay open between runs: which are kept, and when they are closed. */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { ControlModel } from '../../src/model/control-model.ts';
import type { DenoisingModel } from '../../src/model/extended-denoiser.ts';
import { createKeptControls } from '../../src/model/kept-controls.ts';

const [model, other] = [{ label: 'a' }, { label: 'b' }] as unknown as readonly [DenoisingModel, DenoisingModel];

function openings() {
  const log: string[] = [];
  const open = (name: string, bytes: number) => async (): Promise<ControlModel> => {
    log.push(`open ${name}`);
    const dispose = async (): Promise<void> => void log.push(`close ${name}`);
    return { label: name, bytes, dispose } as unknown as ControlModel;
  };
  return { log, open };
}

test('a control model is opened once for a model, and closed with it', async () => {
  const { log, open } = openings();
  const kept = createKeptControls({ limit: 100 });
  const [first, second] = [
    await kept.acquire(model, 'x', open('x', 10)),
    await kept.acquire(model, 'x', open('x', 10)),
  ];
  assert.equal(first.control, second.control);
  await kept.acquire(other, 'x', open('x of b', 10));
  await kept.release(model);
  assert.deepEqual(log, ['open x', 'open x of b', 'close x']);
  await kept[Symbol.asyncDispose]();
  assert.deepEqual(log.at(-1), 'close x of b');
});

test('beyond the limit those that were not used for longest are closed, but none that is in use', async () => {
  const { log, open } = openings();
  const kept = createKeptControls({ limit: 100 });
  const x = await kept.acquire(model, 'x', open('x', 60));
  const y = await kept.acquire(model, 'y', open('y', 60));
  y.release();
  y.release();
  (await kept.acquire(model, 'z', open('z', 30))).release();
  assert.deepEqual(log, ['open x', 'open y', 'open z', 'close y']);
  x.release();
  await kept.acquire(model, 'w', open('w', 30));
  assert.deepEqual(log.slice(4), ['open w', 'close x']);
  await kept[Symbol.asyncDispose]();
});

test('one that cannot be opened is tried again', async () => {
  const { open } = openings();
  const kept = createKeptControls({ limit: 100 });
  await assert.rejects(
    kept.acquire(model, 'x', async () => Promise.reject(new Error('damaged'))),
    /damaged/,
  );
  assert.equal((await kept.acquire(model, 'x', open('x', 1))).control.label, 'x');
  await kept[Symbol.asyncDispose]();
});
