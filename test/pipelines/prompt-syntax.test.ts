/** A1111's prompt syntax in whole pipelines, on the tiny models. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import type { Pipeline } from '../../src/pipelines/events.ts';
import { inpaint } from '../../src/pipelines/inpaint.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import type { Model } from '../../src/model/model.ts';
import { promptContexts } from '../../src/conditioning/prompt-contexts.ts';
import type { TextToImageOptions } from '../../src/generation/inputs.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { joinBatches, takeBatch } from '../../src/tensor/batches.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { resultOf } from './result.ts';
import { compareTensor, maxDifference } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

let engine: Engine;
let model: Model;
before(async () => {
  engine = createNodeEngine({ threads: 1 });
  model = await loadModel(reference('diffusion/pipelines/tiny.ckpt'), { engine });
});
after(async () => {
  await model.dispose();
  await engine.dispose();
});

const latentsOf = async (pipeline: Pipeline): Promise<Tensor<'float32'>> => (await resultOf(pipeline)).latents;

const small: TextToImageOptions = {
  width: 64,
  height: 64,
  steps: 4,
  seed: 5,
  sampler: 'euler',
  noise: 'a1111-cpu',
  promptSyntax: 'a1111',
  watermark: false,
  guidanceScale: 5,
};
const latent = (options: TextToImageOptions): Promise<Tensor<'float32'>> =>
  latentsOf(textToImage(model, { ...small, ...options }));
const largest = (value: Tensor<'float32'>): number => value.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
/** Differences of batches and orders of summing; the latents are of the order of 1 to 10. */
const close = 2e-4;
const words = (count: number, word: string): string => Array.from({ length: count }, () => word).join(' ');

test('a prompt without syntax, or with weights of 1, is the plain prompt; another weight is another picture', async () => {
  const plain = await latent({ prompt: 'red apple', promptSyntax: 'plain' });
  for (const prompt of [
    'red apple',
    '(red:1.0) apple',
    '[red apple:red apple:2]',
    'red apple # a comment',
    'red apple :1',
  ]) {
    assert.ok(maxDifference(await latent({ prompt }), plain) < close, prompt);
  }
  const strong = await latent({ prompt: '(red:1.6) apple' });
  assert.ok(maxDifference(strong, plain) > 1e-3);
  assert.ok(
    maxDifference(await latent({ prompt: '(red:1.6) apple', promptSettings: { emphasis: 'Ignore' } }), plain) < close,
  );
  const literal = await latent({ prompt: '(red:1.6) apple', promptSyntax: 'plain' });
  assert.ok(
    maxDifference(await latent({ prompt: '(red:1.6) apple', promptSettings: { emphasis: 'None' } }), literal) < close,
  );
  assert.ok(maxDifference(strong, literal) > 1e-3);
});

test('AND: equal parts are one with the sum of their weights; a weight of 0 leaves a part out; at scale 1 too', async () => {
  const doubled = await latent({ prompt: 'red apple AND red apple' });
  assert.ok(maxDifference(doubled, await latent({ prompt: 'red apple :2' })) < close * 5);
  assert.ok(maxDifference(doubled, await latent({ prompt: 'red apple', guidanceScale: 10 })) < close * 5);
  assert.ok(
    maxDifference(await latent({ prompt: 'red apple AND a blue car :0' }), await latent({ prompt: 'red apple' })) <
      close,
  );
  assert.ok(
    maxDifference(await latent({ prompt: 'red apple AND a blue car :0.8' }), await latent({ prompt: 'red apple' })) >
      1e-3,
  );
  assert.ok(
    maxDifference(
      await latent({ prompt: 'red apple :0', guidanceScale: 1, negativePrompt: 'a blue car' }),
      await latent({ prompt: 'a blue car', guidanceScale: 1 }),
    ) < close,
  );
});

test('schedules: a prompt changes behind its step, counted in calls of the network', async () => {
  const red = await latent({ prompt: 'red apple' });
  const blue = await latent({ prompt: 'a blue car' });
  // Calls are counted from 0 and steps from 1: the first text is for one call more, and with 4 calls its end at 3 is never passed.
  assert.ok(maxDifference(await latent({ prompt: '[red apple:a blue car:3]' }), red) < close);
  const changed = await latent({ prompt: '[red apple:a blue car:0.5]' });
  assert.ok(maxDifference(changed, red) > 1e-3 && maxDifference(changed, blue) > 1e-3);
  assert.ok(maxDifference(await latent({ prompt: '[red apple|a blue car]' }), changed) > 1e-3);
  assert.ok(
    maxDifference(await latent({ prompt: '[red apple:a blue car:1]', promptSettings: { firstPassSteps: 4 } }), blue) <
      close,
  );
  assert.ok(
    maxDifference(
      await latent({ prompt: 'red apple', negativePrompt: '[a:b:2]' }),
      await latent({ prompt: 'red apple', negativePrompt: 'a' }),
    ) > 1e-3,
  );
  // Heun calls the network twice in a step but the last: 7 calls, of which A1111 expects 8, so 0.5 is the call 4.
  const heun = { sampler: 'heun' } as const;
  assert.ok(
    maxDifference(
      await latent({ ...heun, prompt: '[red apple:a blue car:0.5]' }),
      await latent({ ...heun, prompt: '[red apple:a blue car:4]' }),
    ) < close,
  );
});

test('prompts of any length: what is beyond 75 tokens counts, and BREAK begins anew', async () => {
  const long = `red apple ${words(80, 'a')}`;
  const plain = await latent({ prompt: `${long} blue`, promptSyntax: 'plain' });
  const other = await latent({ prompt: long });
  assert.ok(maxDifference(await latent({ prompt: `${long} blue` }), other) > 1e-4);
  assert.ok(maxDifference(await latent({ prompt: long, promptSyntax: 'plain' }), plain) === 0);
  assert.ok(maxDifference(await latent({ prompt: 'red BREAK apple' }), await latent({ prompt: 'red apple' })) > 1e-4);
  assert.ok(Number.isFinite(largest(await latent({ prompt: 'red apple', negativePrompt: words(200, 'bad,') }))));
});

test('a batch of prompts of different lengths and kinds: each picture as alone', async () => {
  const prompts = [
    'red apple',
    `red apple ${words(90, 'car')}`,
    '(red:1.4) apple AND a blue car BREAK big :0.5',
    '[a|b] tree BREAK x BREAK y',
  ];
  const negatives = ['', words(80, 'bad'), '(ugly)', '[x:y:2]'];
  const seeds = prompts.map((_, i) => 30 + i);
  const together = await latent({ prompt: prompts, negativePrompt: negatives, seeds });
  for (const [i, prompt] of prompts.entries()) {
    const alone = await latent({ prompt, negativePrompt: negatives[i] ?? '', seeds: [30 + i] });
    assert.ok(maxDifference(takeBatch(together, i, i + 1), alone) < close, prompt);
  }
});

test('a model with an image beside its latent, and the record of a picture', async () => {
  await using painter = await loadModel(reference('diffusion/pipelines/tiny-inpaint.ckpt'), { engine });
  const [image, mask] = await Promise.all(
    ['init', 'mask'].map((name) =>
      nodeImageCodec.decode(readFileSync(reference(`diffusion/pipelines/images/${name}.png`))),
    ),
  );
  assert.ok(image && mask);
  const paint = (prompt: string, promptSyntax: 'plain' | 'a1111') =>
    inpaint(painter, { image, mask, prompt, promptSyntax, steps: 3, seed: 1, watermark: false });
  const plain = await latentsOf(paint('red apple', 'plain'));
  assert.ok(maxDifference(await latentsOf(paint('(red:1.0) apple', 'a1111')), plain) < close);
  assert.ok(maxDifference(await latentsOf(paint('(red:1.5) apple AND a car', 'a1111')), plain) > 1e-3);
  const settings = { prompt: '(red:1.6) apple', promptSettings: { emphasis: 'No norm' } } as const;
  const { images } = await resultOf(textToImage(model, { ...small, ...settings }));
  const { promptSyntax, promptSettings, prompt } = images[0]?.record ?? {};
  assert.deepEqual({ promptSyntax, promptSettings, prompt }, { promptSyntax: 'a1111', ...settings });
});

test('what cannot be is refused', async () => {
  const refused = (options: TextToImageOptions, code: string) => assert.rejects(latent(options), { code });
  await refused({ prompt: '(a:1.2.3)' }, 'invalid-argument');
  await refused({ prompt: words(2500, 'a') }, 'too-large');
  await refused({ prompt: words(40, 'a AND') }, 'too-large');
  await refused({ prompt: 'a', promptSyntax: 'comfy' as 'plain' }, 'invalid-argument');
  await refused({ prompt: 'a', promptSettings: { emphasis: 'strong' as 'None' } }, 'invalid-argument');
});

test("contexts are those of A1111's arithmetic in torch (fixtures/prompt/contexts.py)", async () => {
  const want = readTensors(reference('prompt/contexts.safetensors'));
  const settings = {
    prompts: [''],
    negatives: [''],
    clipSkip: 1,
  };
  const contextsOf = async (prompt: string, clipSkip = 1, calls = [0]): Promise<Tensor<'float32'>> => {
    const promptsAt = await promptContexts(
      model,
      { ...settings, prompts: [prompt], clipSkip },
      { schedule: { steps: 4 } },
    );
    return joinBatches(
      calls.flatMap((call) =>
        promptsAt(call).flatMap(({ parts }) => parts.map(({ condition }) => condition['context'] as Tensor<'float32'>)),
      ),
    );
  };
  const compare = (output: string, got: Tensor): void =>
    compareTensor(
      { part: 'prompt', case: 'contexts', output, reference: "A1111's arithmetic in torch 2.13", tolerance: 1e-5 },
      got,
      pick(want, output),
    );
  compare('weights', await contextsOf('a (red:1.4) [apple]'));
  compare('clip_skip_2', await contextsOf('a (red:1.4) [apple]', 2));
  compare('break', await contextsOf('(a:1.3) cat BREAK ((dog))'));
  compare('comma', await contextsOf(`${words(70, 'red')}, (a, b c d e:1.2)`));
  compare('schedule', await contextsOf('[(cat:1.5):dog BREAK (x:0.5):0.5]', 1, [2, 3]));
});
