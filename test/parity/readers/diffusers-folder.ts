/** A diffusers folder with diffusers' schedulers: latents of every step, the picture, and the single parts. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { diffusersSampler } from '../../../src/diffusion/diffusers/scheduler.ts';
import { toRgb } from '../../../src/image/image.ts';
import { loadModel } from '../../../src/model/load-model-node.ts';
import type { Model } from '../../../src/model/model.ts';
import { textToImage } from '../../../src/pipelines/text-to-image.ts';
import { concatenate } from '../../../src/tensor/arithmetic.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import { expectDType, type Tensor } from '../../../src/tensor/tensor.ts';
import { readPng } from '../../image/read-png.ts';
import { resultOf } from '../../pipelines/result.ts';
import { pick, readTensors } from '../../tensors.ts';
import { stack } from '../analytic-model.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { comparePictures } from '../picture-difference.ts';
import type { Reader, Recorded } from '../reader.ts';
import { logVariance } from './compvis-parts.ts';

/** diffusers' classes by the recorded names of the schedulers. */
const classes: Readonly<Record<string, string>> = {
  ddim: 'DDIMScheduler',
  pndm: 'PNDMScheduler',
  'dpmpp-2m': 'DPMSolverMultistepScheduler',
  euler: 'EulerDiscreteScheduler',
  'euler-a': 'EulerAncestralDiscreteScheduler',
};

export const reader: Reader = {
  set: 'files',
  reads: ({ exercises, file }) =>
    /folder load \+ txt2img/.test(String(exercises)) && /expected\.json$/.test(String(file)),
  compare: collecting(async ({ setFolder, row }, compare) => {
    const path = join(setFolder, String(row['file']));
    const folder = dirname(path);
    const cases: readonly Recorded[] = JSON.parse(readFileSync(path, 'utf8').replaceAll('-Infinity', 'null')).cases;
    const recorded = cases.find((one) => one.case === row['case']);
    if (!recorded) throw new Error(`${path} does not describe the case`);
    await using model = await loadModel(join(folder, 'tiny-sd'), { engine: parityEngine() });
    await compareRun(model, folder, recorded, compare);
    // The single parts are recorded once a set; they go with its first case.
    if (recorded === cases[0]) await compareParts(model, folder, compare);
  }),
};

async function compareRun(model: Model, folder: string, recorded: Recorded, compare: Comparisons): Promise<void> {
  const want = readTensors(join(folder, `${recorded.case}.safetensors`));
  const states: Tensor<'float32'>[] = [];
  const pipeline = textToImage(model, {
    prompt: recorded.prompt,
    negativePrompt: recorded.negative_prompt,
    seed: recorded.seed,
    steps: recorded.steps,
    guidanceScale: recorded.guidance_scale,
    width: recorded.width,
    height: recorded.height,
    sampler: diffusersSampler(classes[recorded.scheduler] ?? recorded.scheduler, recorded.scheduler_config),
    noise: 'diffusers',
    watermark: false,
  });
  const { latents, images } = await resultOf(pipeline, (event) => {
    if (event.kind === 'step') states.push(event.latent);
  });
  compare.tensor('final_latents', latents, pick(want, 'final_latents'), recorded.tolerance.latents);
  const steps = pick(want, 'step_latents');
  if (recorded.scheduler === 'pndm')
    compare.skip('step_latents', 'PNDM of diffusers keeps a state of two calls in its first step');
  else {
    const got = stack(states);
    compare.tensor('step_latents', { ...got, shape: steps.shape }, steps, recorded.tolerance.latents);
  }
  // "at most 1 level on at most 0.5 % of values"
  const picture = toRgb(await readPng(join(folder, `${recorded.case}.png`)));
  comparePictures(compare, 'PNG', images[0]?.image, picture, { levels: 1, shareDifferent: 0.005 });
}

async function compareParts(model: Model, folder: string, compare: Comparisons): Promise<void> {
  const want = readTensors(join(folder, 'parts.safetensors'));
  const tensor = (output: string, got: Tensor): void => {
    const recorded = pick(want, output);
    compare.tensor(output, got, recorded, 1e-5 * deviation(recorded), { item: 'parts' });
  };
  const x = expectDType(pick(want, 'unet.x'), 'float32');
  const timesteps = toFloat32(pick(want, 'unet.timesteps'));
  const context = expectDType(pick(want, 'unet.context'), 'float32');
  const { last_hidden_state } = await model.networks.run(
    { network: 'cond_stage', outputs: ['last_hidden_state'] },
    { input_ids: pick(want, 'text.ids') },
  );
  tensor('text.last_hidden_state', last_hidden_state as Tensor);
  tensor('unet.out', await model.predict({ x, timesteps, context }));
  const { mean, std } = await model.encodeImage(expectDType(pick(want, 'vae.image'), 'float32'));
  tensor('vae.moments', concatenate([mean, logVariance(std)], 1));
  await using half = await loadModel(join(folder, 'tiny-sd'), { engine: parityEngine(), variant: 'fp16' });
  tensor('unet.out_fp16_weights', await half.predict({ x, timesteps, context }));
}

/** Standard deviation: the tolerance is "1e-5 relative to std". */
function deviation(want: Tensor): number {
  const { data } = expectDType(want, 'float32');
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  return Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length);
}
