/** Steps of an initial image: A1111's counts (`setup_img2img_steps`, v1.10.1) and CompVis's. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { samplers } from '../../src/diffusion/samplers/index.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { cutOf, type StrengthRule, strengthSteps } from '../../src/generation/strength-steps.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { imageToImage } from '../../src/pipelines/image-to-image.ts';
import { reference } from '../reference.ts';

const run = (rule: StrengthRule, steps: number, strength: number, space: 'sigma' | 'timestep' = 'sigma'): number => {
  const cut = strengthSteps(rule, steps, strength, space);
  return cut.steps - cut.startStep;
};

test('img2img of A1111 runs one step more than the whole part of steps x strength, in sigma space', () => {
  assert.deepEqual(
    [run('a1111', 100, 0.3), run('a1111', 20, 0.5), run('a1111', 20, 0.04), run('a1111', 20, 1), run('a1111', 20, 0)],
    [31, 11, 1, 20, 1],
  );
  assert.deepEqual([run('a1111', 20, 0.5, 'timestep'), run('a1111', 20, 1, 'timestep')], [10, 19]);
});

test('the second pass of A1111 runs all its steps, from the place of the strength in a longer schedule', () => {
  assert.deepEqual(strengthSteps('all', 20, 0.4, 'sigma'), { steps: 50, startStep: 30 });
  assert.deepEqual(strengthSteps('all', 10, 0.4, 'sigma'), { steps: 25, startStep: 15 });
  assert.equal(run('all', 20, 0.4, 'timestep'), 19);
  assert.equal(run('all', 20, 0), 0);
});

test('CompVis runs the whole part of steps x strength', () => {
  assert.deepEqual([run('compvis', 100, 0.3), run('compvis', 20, 0.04), run('compvis', 50, 1)], [30, 0, 50]);
});

test("without a rule A1111's noise goes with A1111's counts", () => {
  const request = { steps: 20, strength: 0.5, noise: 'a1111-cpu' } as const;
  assert.deepEqual(cutOf(request)('sigma'), { steps: 20, startStep: 9 });
  assert.deepEqual(cutOf({ ...request, noise: 'compvis' })('sigma'), { steps: 20, startStep: 10 });
  assert.deepEqual(cutOf({ ...request, strengthRule: 'compvis' })('sigma'), { steps: 20, startStep: 10 });
});

test('with so small a strength that no step is run, every sampler gives the image back', async () => {
  await using engine = createNodeEngine({ threads: 1 });
  await using model = await loadModel(reference('diffusion/pipelines/tiny.ckpt'), { engine });
  const image = await nodeImageCodec.decode(readFileSync(reference('diffusion/pipelines/images/init.png')));
  const latentOf = async (sampler: string): Promise<Float32Array> => {
    const pictures = imageToImage(model, { image, prompt: 'x', steps: 20, strength: 0.04, sampler, watermark: false });
    for await (const event of pictures) if (event.kind === 'result') return event.latents.data;
    throw new Error('there was no result');
  };
  const want = await latentOf('euler');
  for (const name of [...samplers.map(({ name }) => name), 'PNDMScheduler', 'DPMSolverMultistepScheduler']) {
    const got = await latentOf(name);
    const scale = Math.max(...want.map(Math.abs));
    // CompVis noises to its first timestep, which is the smallest of its levels.
    assert.ok(Math.max(...got.map((value, i) => Math.abs(value - (want[i] ?? 0)))) < 0.2 * scale, name);
  }
});

test("diffusers' PNDM cuts the calls of the whole schedule", async () => {
  await using engine = createNodeEngine({ threads: 1 });
  await using model = await loadModel(reference('diffusion/pipelines/tiny.ckpt'), { engine });
  const image = await nodeImageCodec.decode(readFileSync(reference('diffusion/pipelines/images/init.png')));
  let calls = 0;
  const options = { image, prompt: 'x', steps: 10, strength: 0.2, sampler: 'PNDMScheduler', watermark: false };
  for await (const event of imageToImage(model, options)) if (event.kind === 'step') calls = event.steps;
  // 11 calls for 10 steps, of which the first 8 are left out.
  assert.equal(calls, 3);
});
