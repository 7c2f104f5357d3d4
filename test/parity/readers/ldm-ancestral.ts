/** Ancestral sampling of latent diffusion: `p_sample_loop` and `progressive_denoising` with their options, and the schedule's buffers. */

import type { DiffusionModel, Latent } from '../../../src/diffusion/denoiser.ts';
import { keepAtTimestep } from '../../../src/diffusion/inpainting.ts';
import { betasOf } from '../../../src/diffusion/model-schedule.ts';
import { conditionTimesteps, withNoisedCondition } from '../../../src/diffusion/noised-condition.ts';
import { type DdpmBuffers, ddpmBuffers } from '../../../src/diffusion/noise-schedule.ts';
import { type DdpmOptions, posteriorSteps, sampleDdpm } from '../../../src/diffusion/samplers/ddpm.ts';
import type { Model } from '../../../src/model/model.ts';
import { float32, int64 } from '../../../src/tensor/tensor.ts';
import { maxDifference } from '../../parity.ts';
import { pick } from '../../tensors.ts';
import { fittedArguments } from '../fitted.ts';
import { type LineageCase, lineageCase } from '../lineage-case.ts';
import type { Comparison, Reader } from '../reader.ts';
import { conditioned, zooConfig, zooModel } from '../zoo-model.ts';

interface Run {
  /** Steps that are made, where they are fewer than the schedule has (`start_T`). */
  readonly count?: number;
  readonly model: DiffusionModel;
  readonly vPosterior?: number;
  readonly options?: (noise: () => Latent, model: DiffusionModel) => Partial<DdpmOptions>;
}

interface Step {
  readonly latent: Latent;
  readonly denoised: Latent;
}

async function stepsOf(
  recorded: LineageCase,
  { model, vPosterior = 0, options, count = recorded.settings.timesteps }: Run,
): Promise<readonly Step[]> {
  const descending = Array.from({ length: count }, (_, i) => count - 1 - i);
  const steps = posteriorSteps(model.schedule, descending, { vPosterior });
  let draws = 0;
  const noise = (): Latent => recorded.noise(draws++);
  const made: Step[] = [];
  const run = sampleDdpm(model, recorded.input('x_T'), steps, { noise, drawUnused: true, ...options?.(noise, model) });
  for await (const step of run) made.push(step);
  return made;
}

async function* runOf(recorded: LineageCase, name: string, run: Run): AsyncIterable<Comparison> {
  const made = await stepsOf(recorded, run);
  for (const [i, { latent, denoised }] of made.entries()) {
    if (recorded.outputs.has(`${name}.x.${i}`)) yield recorded.compare(`${name}.x.${i}`, latent);
    if (recorded.outputs.has(`${name}.pred_x0.${i}`)) yield recorded.compare(`${name}.pred_x0.${i}`, denoised);
  }
  yield recorded.compare(`${name}.sample`, made.at(-1)?.latent);
}

const lastOf = async (recorded: LineageCase, run: Run): Promise<Latent> =>
  (await stepsOf(recorded, run)).at(-1)?.latent as Latent;

/** The index need not state with how many steps the shorter run was made: the number that comes closest. */
async function shorterRun(recorded: LineageCase, model: DiffusionModel): Promise<Run> {
  const { timesteps, start_T: stated } = recorded.settings;
  if (stated) return { model, count: stated };
  const want = pick(recorded.outputs, 'start_T.sample');
  let best = { count: timesteps, error: Number.POSITIVE_INFINITY };
  for (let count = 1; count <= timesteps; count++) {
    const error = maxDifference(await lastOf(recorded, { model, count }), want);
    if (error < best.error) best = { count, error };
  }
  return { model, count: best.count };
}

/** Nor with which temperature. */
async function progressiveRun(recorded: LineageCase, model: DiffusionModel): Promise<Run> {
  const at = (temperature = 1): Run => ({ model, options: () => ({ temperature }) });
  const start = [recorded.settings.temperature ?? 0.8];
  const want = pick(recorded.outputs, 'progressive.sample');
  const [temperature] = await fittedArguments(start, ([one]) => lastOf(recorded, at(one)), want);
  return at(temperature);
}

async function runsOf(recorded: LineageCase, model: Model): Promise<Readonly<Record<string, Run>>> {
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
    ...(recorded.outputs.has('start_T.sample') ? { start_T: await shorterRun(recorded, plain) } : {}),
    masked,
    v_posterior: { model: plain, vPosterior: recorded.settings.v_posterior },
    x0_parameterization: { model: { ...plain, parameterization: 'x0' } },
    ...(recorded.outputs.has('progressive.sample') ? { progressive: await progressiveRun(recorded, plain) } : {}),
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
    for (const [name, run] of Object.entries(await runsOf(recorded, model)))
      if (recorded.outputs.has(`${name}.sample`)) yield* runOf(recorded, name, run);
    yield* buffers(recorded, zooConfig(recorded, params));
    await model.networks.dispose();
  },
};
