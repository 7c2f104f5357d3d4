/** A record holds its request: request → record → file → record → request is the identity, for every field. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Batches, batchesOf } from '../../src/generation/batches.ts';
import { checkRequest, fieldNames } from '../../src/generation/check-request.ts';
import {
  type GenerationRecord,
  type RecordFacts,
  recordOf,
  recordSchema,
  replayRequest,
  requestOf,
} from '../../src/generation/record.ts';
import { type GenerationRequest, tasks } from '../../src/generation/request.ts';
import { type Field, values } from './sample-requests.ts';

const facts: RecordFacts = {
  version: 2,
  program: 'test 1',
  model: 'model.safetensors',
  ema: true,
  adapters: ['lora:style:0.8'],
  precision: 'float32',
  digests: { image: 'a'.repeat(64), startNoise: 'b'.repeat(64) },
};

/** What a run writes for one picture, and a reader of its file gets. */
function throughFile(request: GenerationRequest, batches: Batches, iteration: number, index: number): GenerationRecord {
  const batch = [...batches].find((candidate) => candidate.iteration === iteration);
  assert.ok(batch);
  const { width = 64, height = 64, sampler = 'ddim' } = request;
  const record = recordOf({ request, batches, batch, index, isIndependent: true }, facts, { width, height, sampler });
  return recordSchema.parse(JSON.parse(JSON.stringify(record)));
}

/** Fields that a picture's record states in another way than its run: it leaves out what other pictures were made from. */
const narrowed: ReadonlySet<string> = new Set(['promptBatches', 'seeds']);
/** A request whose width, height and sampler are known already. */
const base = { width: 64, height: 64, sampler: 'ddim' };

for (const task of tasks) {
  for (const field of fieldNames(task)) {
    if (field === 'task' || narrowed.has(field)) continue;
    test(`${task}: ${field} comes back from a record`, () => {
      assert.ok(Object.hasOwn(values, field), `${field} has no values in sample-requests.ts`);
      fc.assert(
        fc.property(values[field as Field], (value) => {
          const request = checkRequest({ ...base, task, [field]: value });
          // The fields that only replays use follow from others in a run; here they are as they were given.
          const batches = batchesOf(checkRequest({ ...base, task }));
          assert.deepEqual(requestOf(throughFile(request, batches, 1, 0)), request);
        }),
        { numRuns: 50 },
      );
    });
  }
}

test('facts of the run come back too, beside the request', () => {
  const request = checkRequest({ ...base, task: 'txt2img', iterations: 3, batchSize: 2 });
  const record = throughFile(request, batchesOf(request), 2, 1);
  const { program, model, ema, adapters, precision, digests, iteration, index } = record;
  assert.deepEqual({ version: 2, program, model, ema, adapters, precision, digests }, facts);
  assert.deepEqual([iteration, index], [2, 1]);
});

test('a replay makes the batch of the picture, and no other', () => {
  const request = checkRequest({ ...base, task: 'txt2img', iterations: 3, batchSize: 2 });
  const again = batchesOf(replayRequest(throughFile(request, batchesOf(request), 2, 1)));
  assert.deepEqual(
    [...again].map(({ iteration, isMade, batch }) => [iteration, isMade, batch]),
    [
      [1, false, 2],
      [2, true, 2],
    ],
  );
});

test('a record of several batches of prompts holds the prompts of its own batch, and the sizes of those before it', () => {
  const request = checkRequest({
    ...base,
    task: 'txt2img',
    promptBatches: [['a', 'b', 'c'], ['secret'], ['d']],
    fixedCode: true,
    iterations: 2,
  });
  const record = throughFile(request, batchesOf(request), 5, 0);
  assert.doesNotMatch(JSON.stringify(record), /"a"|"d"/);
  assert.deepEqual(
    [record.prompt, record.batchSize, record.earlierBatches, record.largestBatch, record.iterations],
    [['secret'], 1, [3, 1, 1, 3], 3, 6],
  );
  const again = batchesOf(replayRequest(record));
  assert.deepEqual(
    [...again].map(({ batch, isMade, picturesBefore }) => [batch, isMade, picturesBefore]),
    [
      [3, false, 0],
      [1, false, 3],
      [1, false, 4],
      [3, false, 5],
      [1, true, 8],
    ],
  );
  assert.equal(again.largest, 3);
});

test('a picture with its own seed has a record of its own: nothing of the others in its batch', () => {
  const request = checkRequest({
    ...base,
    task: 'txt2img',
    noise: 'a1111-cpu',
    prompt: ['mine', 'theirs'],
    negativePrompt: ['x', 'y'],
    classLabels: [4, 5],
    seeds: [7, 2n ** 64n - 1n],
    noiseSettings: { subseed: 20, subseedStrength: 0.5 },
  });
  const record = throughFile(request, batchesOf(request), 1, 1);
  assert.deepEqual(
    [record.prompt, record.negativePrompt, record.classLabels, record.seed, record.seeds, record.batchSize],
    ['theirs', 'y', [5], '18446744073709551615', undefined, 1],
  );
  assert.deepEqual([record.noiseSettings?.subseed, record.index], [21, 0]);
});

test('a sampler that looks at the whole batch keeps the whole batch in the record', () => {
  const request = checkRequest({ ...base, task: 'txt2img', noise: 'a1111-cpu', prompt: ['a', 'b'], seeds: [1, 2] });
  const batches = batchesOf(request);
  const [batch] = batches;
  assert.ok(batch);
  const record = recordOf({ request, batches, batch, index: 1, isIndependent: false }, facts, {
    width: 64,
    height: 64,
    sampler: 'dpm-adaptive',
  });
  assert.deepEqual([record.prompt, record.seeds, record.index], [['a', 'b'], [1, 2], 1]);
});

test('records of version 1 are read: `pipeline` is the task, and an initial image counts its steps as CompVis', () => {
  const old = {
    version: 1,
    pipeline: 'img2img',
    prompts: ['a red apple'],
    negativePrompt: '',
    width: 128,
    height: 64,
    steps: 20,
    sampler: 'Euler a',
    guidanceScale: 5,
    seed: 3,
    noise: 'a1111-cpu',
    clipSkip: 1,
    batchSize: 1,
    iterations: 4,
    index: 0,
    iteration: 2,
    fixedCode: false,
    strength: 0.5,
    initialImage: 'c'.repeat(64),
    model: '/home/somebody/model.ckpt',
    precision: 'float32',
    watermark: true,
    program: 'stable-diffusion-ts 0.1.0',
  };
  const record = recordSchema.parse(old);
  assert.equal(record.task, 'img2img');
  assert.deepEqual(record.digests, { image: 'c'.repeat(64), mask: undefined, startNoise: undefined });
  const request = replayRequest(record);
  assert.deepEqual(
    [request.prompt, request.iterations, request.firstIteration, request.seed],
    ['a red apple', 2, 2, 3],
  );
  assert.equal(request.task === 'img2img' && request.strengthRule, 'compvis');
  assert.equal(recordSchema.safeParse({ ...old, pipeline: 'upscale' }).success, false);
});

test('a record that orders more than a run may do is refused', () => {
  const request = checkRequest({ ...base, task: 'txt2img' });
  const record = throughFile(request, batchesOf(request), 1, 0);
  for (const change of [
    { iteration: 2 ** 31 },
    { iterations: 2 ** 31 },
    { steps: 1e9 },
    { width: 1e6 },
    { samplerSettings: { restarts: [{ minSigma: 0, maxSigma: 1, steps: 1, times: 1e9 }] } },
    { noise: 'constructor' },
    { surprise: 1 },
  ])
    assert.equal(recordSchema.safeParse({ ...record, ...change }).success, false, JSON.stringify(change));
});
