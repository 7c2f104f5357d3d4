/** What is wrong in a request is refused by its name, before anything is computed. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StableDiffusionError } from '../../src/errors.ts';
import { batchesOf } from '../../src/generation/batches.ts';
import { checkRequest, fieldNames } from '../../src/generation/check-request.ts';
import type { TaskOptions } from '../../src/generation/inputs.ts';
import { tasks } from '../../src/generation/request.ts';
import { splitOptions } from '../../src/generation/split-options.ts';
import { values } from './sample-requests.ts';

const refused = (options: object, field: string, text: RegExp = /./): void => {
  assert.throws(
    () => splitOptions({ task: 'txt2img', ...options } as TaskOptions),
    (error) => {
      assert.ok(error instanceof StableDiffusionError);
      assert.equal(error.code, 'invalid-argument');
      assert.ok(error.message.includes(field), error.message);
      assert.match(error.message, text);
      return true;
    },
    Object.keys(options).join(),
  );
};

test('a value of another kind, or out of bounds, is refused with what was found and expected', () => {
  refused({ prompt: 5 }, 'prompt', /is 5; it must be a text, or a list of texts\.$/);
  refused({ prompt: null }, 'prompt', /is null/);
  refused({ steps: 0 }, 'steps', /is 0; it must be a whole number from 1 to 10,000\.$/);
  refused({ steps: 2.5 }, 'steps', /is 2\.5/);
  refused({ guidanceScale: Number.NaN }, 'guidanceScale', /is NaN; it must be a number/);
  refused({ noise: 'constructor' }, 'noise', /one of compvis, /);
  refused({ samplerSettings: { restarts: 1e9 } }, 'samplerSettings.restarts', /is 1000000000/);
  refused(
    { samplerSettings: { restarts: [{ minSigma: 0, maxSigma: 1, steps: 2, times: 1e9 }] } },
    'samplerSettings.restarts[0].times',
  );
  refused({ noiseSettings: { seedResizeFrom: { width: 1e9, height: 8 } } }, 'noiseSettings.seedResizeFrom.width');
  refused({ iterations: 2 ** 31 }, 'iterations');
  refused({ seed: 2n ** 64n }, 'seed', /2\^64 - 1/);
  refused({ seed: 2 ** 60 }, 'seed', /above 2\^53 a bigint/);
  refused({ seed: 'abc' }, 'seed');
});

test('an unknown option is refused, with the one that was meant', () => {
  refused({ stepz: 20 }, 'stepz', /Did you mean steps\?/);
  refused({ strength: 0.5 }, 'strength', /Unknown option/);
  refused({ image: { width: 1 } }, 'image', /Unknown option/);
  refused({ noiseSettings: { subsed: 1 } }, 'noiseSettings.subsed');
});

test('what is beside the request is checked too', () => {
  refused({ sampler: {} }, 'sampler');
  refused({ startNoise: { dtype: 'float32', shape: [1, 4, 8, 8], data: new Float32Array(3) } }, 'startNoise');
  refused({ startNoise: { shape: [1, 4, 8, 8] } }, 'startNoise');
  refused({ signal: 5 }, 'signal');
  refused({ task: 'img2img' }, 'image');
  refused({ task: 'img2img', image: { width: 2, height: 2, channels: 3, data: new Uint8Array(3) } }, 'image');
  refused({ task: 'inpaint', image: { width: 1, height: 1, channels: 3, data: new Uint8Array(3) } }, 'mask');
  refused({ task: 'upscale' }, 'task', /txt2img, img2img, inpaint/);
});

test('a complete request has its defaults, and an undefined option is one that was left out', () => {
  const { request } = splitOptions({ task: 'txt2img', steps: undefined, seed: 2n ** 60n });
  assert.deepEqual(
    [request.steps, request.guidanceScale, request.seed, request.noise, request.promptSyntax, request.clipSkip],
    [50, 7.5, '1152921504606846976', 'compvis', 'plain', 1],
  );
  const image = { width: 1, height: 1, channels: 3, data: new Uint8Array(3) } as const;
  const painted = splitOptions({ task: 'inpaint', image, mask: image }).request;
  assert.equal(painted.task === 'inpaint' && painted.strength, 1);
});

test("the model's recommendations replace the defaults, and the caller's options replace both", () => {
  const recommended = { guidanceScale: 4, steps: 25 };
  const { request } = splitOptions({ task: 'txt2img', steps: 10 }, recommended);
  assert.deepEqual([request.guidanceScale, request.steps, request.seed], [4, 10, 42]);
});

test('fields that contradict each other are refused', () => {
  const contradictory = (request: object) =>
    assert.throws(() => batchesOf(checkRequest({ task: 'txt2img', ...request })), { code: 'invalid-argument' });
  contradictory({ prompt: ['a', 'b'], batchSize: 3 });
  contradictory({ negativePrompt: ['a', 'b'], batchSize: 3 });
  contradictory({ seeds: [1, 2], noise: 'compvis' });
  contradictory({ seeds: [1, 2], noise: 'a1111-cpu', iterations: 2 });
  contradictory({ seeds: [1], noise: 'a1111-cpu', promptBatches: [['a'], ['b']] });
  contradictory({ iterations: 2, firstIteration: 3 });
  contradictory({ iterations: 3, firstIteration: 3, earlierBatches: [1] });
});

test('every field has sample values for the tests of records', () => {
  const fields = new Set(tasks.flatMap((task) => fieldNames(task)));
  fields.delete('task');
  assert.deepEqual([...fields].sort(), Object.keys(values).sort());
});
