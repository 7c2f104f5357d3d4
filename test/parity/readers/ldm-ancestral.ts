/** Ancestral sampling of latent diffusion: `p_sample_loop` and `progressive_denoising` with their options, and the schedule's buffers. */

import type { DiffusionModel, Latent } from '../../../src/diffusion/denoiser.ts';
import { keepAtTimestep } from '../../../src/diffusion/inpainting.ts';
import { betasOf } from '../../../src/diffusion/model-schedule.ts';
import { conditionTimesteps, withNoisedCondition } from '../../../src/diffusion/noised-condition.ts';
import { type DdpmBuffers, ddpmBuffers } from '../../../src/diffusion/noise-schedule.ts';
import { type DdpmOptions, posteriorSteps, sampleDdpm } from '../../../src/diffusion/samplers/ddpm.ts';
import type { Model } from '../../../src/model/model.ts';
import { float32, int64 } from '../../../src/tensor/tensor.ts';
import { type LineageCase, lineageCase } from '../lineage-case.ts';
import type { Comparison, Reader } from '../reader.ts';
import { conditioned, zooConfig, zooModel } from '../zoo-model.ts';

/** Arguments that the index does not state. They follow from the recorded tensors, and the comparisons use them as they stand here. */
const unstated = { progressiveTemperature: 0.8, startT: 5 } as const;

interface Run {
  /** Steps that are made, where they are fewer than the schedule has (`start_T`). */
  readonly count?: number;
  readonly model: DiffusionModel;
  readonly vPosterior?: number;
  readonly options?: (noise: () => Latent, model: DiffusionModel) => Partial<DdpmOptions>;
}

async function* runOf(
  recorded: LineageCase,
  name: string,
  { model, vPosterior = 0, options, count = recorded.settings.timesteps }: Run,
): AsyncIterable<Comparison> {
  const descending = Array.from({ length: count }, (_, i) => count - 1 - i);
  const steps = posteriorSteps(model.schedule, descending, { vPosterior });
  let draws = 0;
  const noise = (): Latent => recorded.noise(draws++);
  let i = 0;
  let last: Latent | undefined;
  const made = sampleDdpm(model, recorded.input('x_T'), steps, { noise, drawUnused: true, ...options?.(noise, model) });
  for await (const { latent, denoised } of made) {
    last = latent;
    if (recorded.outputs.has(`${name}.x.${i}`)) yield recorded.compare(`${name}.x.${i}`, latent);
    if (recorded.outputs.has(`${name}.pred_x0.${i}`)) yield recorded.compare(`${name}.pred_x0.${i}`, denoised);
    i++;
  }
  yield recorded.compare(`${name}.sample`, last);
}

function runsOf(recorded: LineageCase, model: Model): Readonly<Record<string, Run>> {
  const concat = recorded.input('condition');
  const plain = conditioned(model, { concat });
  const [mask, latent] = [recorded.input('mask'), recorded.input('x0')];
  const masked: Run = {
    model: plain,
    options: (noise) => ({
      afterStep: (x, timestep) => keepAtTimestep(model.schedule, { mask, latent }, x, timestep, noise()),
    }),
  };
  const noised = withNoisedCondition(
    (condition) => conditioned(model, { concat: condition }),
    concat,
    model.schedule,
    recorded.settings.num_timesteps_cond,
  );
  return {
    plain: { model: plain },
    quantized: { model: plain, options: () => ({ reviseX0: (x) => model.quantizeLatent(x) }) },
    start_T: { model: plain, count: unstated.startT },
    masked,
    v_posterior: { model: plain, vPosterior: recorded.settings.v_posterior },
    x0_parameterization: { model: { ...plain, parameterization: 'x0' } },
    progressive: { model: plain, options: () => ({ temperature: unstated.progressiveTemperature }) },
    progressive_masked: masked,
    noised_condition: {
      model: noised,
      options: (noise, own) => ({
        beforeStep: (x, timestep) => {
          own.noiseCondition?.(timestep, noise);
          return x;
        },
      }),
    },
  };
}

function* buffers(recorded: LineageCase, config: ReturnType<typeof zooConfig>): Iterable<Comparison> {
  const betas = betasOf(config);
  const kinds: Readonly<Record<string, DdpmBuffers>> = {
    model: ddpmBuffers(betas),
    v: ddpmBuffers(betas, { vPosterior: recorded.settings.v_posterior }),
    x0: ddpmBuffers(betas, { parameterization: 'x0' }),
    c: ddpmBuffers(betas),
  };
  for (const name of recorded.outputs.keys()) {
    const [, kind = '', table = ''] = /^buffers\.(\w+)\.(\w+)$/.exec(name) ?? [];
    const values = kinds[kind]?.[table as keyof DdpmBuffers];
    if (values) yield recorded.compare(name, float32([values.length], values));
  }
  const ids = conditionTimesteps(betas.length, recorded.settings.num_timesteps_cond);
  yield recorded.compare('cond_ids', int64([ids.length], ids));
}

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => /^p_sample_loop and progressive_denoising/.test(String(row['exercises'])),
  async *compare(raw) {
    const recorded = lineageCase(raw);
    const { timesteps, linear_start, linear_end } = recorded.settings;
    const params = { timesteps, linear_start, linear_end };
    const model = await zooModel(recorded, recorded.weights(), params);
    for (const [name, run] of Object.entries(runsOf(recorded, model)))
      if (recorded.outputs.has(`${name}.sample`)) yield* runOf(recorded, name, run);
    yield* buffers(recorded, zooConfig(recorded, params));
    await model.networks.dispose();
  },
};
