/** A diffusers folder with diffusers' schedulers against the recorded runs of diffusers' StableDiffusionPipeline. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import type { DiffusersSchedulerConfig } from '../../src/diffusion/diffusers/scheduler-config.ts';
import { diffusersSampler } from '../../src/diffusion/diffusers/scheduler.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { tensor, type Tensor } from '../../src/tensor/tensor.ts';
import { compareTensor, recordParity } from '../parity.ts';
import { findReference, reference, skipUnless } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

interface Case {
  readonly case: string;
  readonly scheduler: string;
  readonly scheduler_config: DiffusersSchedulerConfig;
  readonly prompt: string;
  readonly negative_prompt: string;
  readonly seed: number;
  readonly steps: number;
  readonly guidance_scale: number;
  readonly height: number;
  readonly width: number;
  readonly tolerance: { readonly latents: number };
}

const classes: Readonly<Record<string, string>> = {
  ddim: 'DDIMScheduler',
  pndm: 'PNDMScheduler',
  'dpmpp-2m': 'DPMSolverMultistepScheduler',
  euler: 'EulerDiscreteScheduler',
  'euler-a': 'EulerAncestralDiscreteScheduler',
};
const index = findReference('files/diffusers/expected.json');
const cases = index
  ? (JSON.parse(readFileSync(index, 'utf8').replaceAll('-Infinity', 'null')) as { cases: Case[] }).cases
  : [];

test('diffusers folders', { skip: skipUnless('files/diffusers/expected.json') }, () => assert.ok(cases.length > 0));

for (const c of cases) {
  test(`diffusers ${c.case}`, async () => {
    await using engine = createNodeEngine({ threads: 1 });
    await using model = await loadModel(dirname(reference('files/diffusers/tiny-sd/model_index.json')), { engine });
    const want = readTensors(reference(`files/diffusers/${c.case}.safetensors`));
    const row = {
      part: 'files/diffusers',
      case: c.case,
      reference: 'diffusers 0.42.1 StableDiffusionPipeline',
      tolerance: c.tolerance.latents,
    };
    const sampler = diffusersSampler(classes[c.scheduler] ?? c.scheduler, c.scheduler_config);
    const states: Tensor<'float32'>[] = [];
    const run = textToImage(model, {
      prompt: c.prompt,
      negativePrompt: c.negative_prompt,
      seed: c.seed,
      steps: c.steps,
      guidanceScale: c.guidance_scale,
      width: c.width,
      height: c.height,
      sampler,
      noise: 'diffusers',
      watermark: false,
    });
    for await (const event of run) {
      if (event.kind === 'step') states.push(event.latent);
      if (event.kind !== 'result') continue;
      compareTensor({ ...row, output: 'final_latents' }, event.latents, pick(want, 'final_latents'));
      const recorded = pick(want, 'step_latents');
      if (c.scheduler === 'ddim' || c.scheduler === 'dpmpp-2m' || c.scheduler.startsWith('euler')) {
        // The sigma-space samplers keep x = x_0 + sigma eps, as these schedulers of diffusers do.
        const all = tensor('float32', recorded.shape, Float32Array.from(states.flatMap((state) => [...state.data])));
        compareTensor({ ...row, output: 'step_latents' }, all, recorded);
      }
      const picture = await nodeImageCodec.decode(readFileSync(reference(`files/diffusers/${c.case}.png`)));
      const got = event.images[0]?.image.data ?? new Uint8Array();
      const off = picture.data.reduce((count, value, i) => count + (Math.abs(value - (got[i] ?? -999)) > 1 ? 1 : 0), 0);
      const different = picture.data.reduce((count, value, i) => count + (value === got[i] ? 0 : 1), 0);
      recordParity({ ...row, output: 'PNG: values off by more than 1 level', error: off, tolerance: 0 });
      recordParity({
        ...row,
        output: 'PNG: share of values that differ',
        error: different / picture.data.length,
        tolerance: 0.005,
      });
    }
  });
}
