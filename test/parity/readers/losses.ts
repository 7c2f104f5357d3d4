/** Losses of latent diffusion against LDM's p_losses and diffusers' training formulas: values, gradients, noisy inputs and weights. */

import { unetConfigSchema } from '../../../src/config/network-config.ts';
import {
  type BetaScheduleName,
  betaSchedule,
  cumulativeProduct,
  rescaleZeroTerminalSnr,
} from '../../../src/diffusion/beta-schedule.ts';
import { ddpmBuffers } from '../../../src/diffusion/noise-schedule.ts';
import type { Parameterization } from '../../../src/diffusion/parameterization.ts';
import { concat, constant } from '../../../src/graph/functions.ts';
import { gradients } from '../../../src/graph/gradients.ts';
import type { Sym } from '../../../src/graph/trace.ts';
import { unet } from '../../../src/models/unet.ts';
import { float32, type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import {
  atTimesteps,
  type DiffusionLossConfig,
  diffusionLoss,
  dropConditions,
} from '../../../src/training/objective/diffusion.ts';
import { runGraph, traceLike } from '../../graph/run-graph.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { ldmSchedule, lossUnet, underPrefix } from '../loss-unet.ts';
import { type IndexRow, originalOf, type Reader, type Recorded, type RecordedCase } from '../reader.ts';
import { compareOutputs, gradientNames, named, type TrainingCase, trainingCase } from '../training-case.ts';

type Compare = (one: TrainingCase, compare: Comparisons, recorded: RecordedCase) => Promise<void> | void;
/** Kinds by what the row exercises. */
const kinds: readonly (readonly [RegExp, Compare])[] = [
  [/^p_losses with given t/, comparePLosses],
  [/^conditioning_key (concat|hybrid)/, compareConcatenated],
  [/^rows of the mask that are 1/, compareDropout],
  [/^offset noise, input perturbation/, compareVariants],
  [/^schedule buffers of the trainer/, compareBuffers],
];
const kindOf = ({ exercises }: IndexRow) => kinds.find(([pattern]) => pattern.test(String(exercises)))?.[1];

export const reader: Reader = {
  set: 'training',
  reads: (row, part) => part === 'loss' && row['skipped'] === undefined && kindOf(row) !== undefined,
  compare: collecting((recorded, compare) => kindOf(recorded.row)?.(trainingCase(recorded), compare, recorded)),
};

const inputsOf = (one: TrainingCase, names: readonly string[]): Record<string, Tensor> =>
  Object.fromEntries(names.map((name) => [name, one.input(name)]));
const of = (symbols: Readonly<Record<string, Sym>>, name: string): Sym => named(symbols, name);

async function comparePLosses(one: TrainingCase, compare: Comparisons): Promise<void> {
  const { settings } = one;
  const parameterization = (settings.parameterization ?? 'eps') as Parameterization;
  const betas = betaSchedule(
    (settings.beta_schedule ?? 'linear') as BetaScheduleName,
    settings.timesteps,
    settings.linear_start === undefined ? {} : { linearStart: settings.linear_start, linearEnd: settings.linear_end },
  );
  const schedule = ddpmBuffers(betas, { parameterization, vPosterior: Number(settings.v_posterior ?? 0) });
  const learned = settings.learn_logvar === true;
  const config: DiffusionLossConfig = {
    schedule,
    parameterization,
    lossType: settings.loss_type === 'l1' ? 'l1' : 'l2',
    simpleWeight: Number(settings.l_simple_weight ?? 1),
    elboWeight: Number(settings.original_elbo_weight ?? 0),
  };
  const inputs = inputsOf(one, ['x0', 'noise', 't', 'c']);
  const graph = traceLike(inputs, (symbols, p) => {
    const initial = settings.logvar_init;
    const logvar = learned
      ? p.get('logvar', [settings.timesteps])
      : initial === undefined
        ? undefined
        : constant(
            of(symbols, 'x0'),
            float32([settings.timesteps], new Float32Array(settings.timesteps).fill(Number(initial))),
          );
    const result = diffusionLoss(
      config,
      { x0: of(symbols, 'x0'), noise: of(symbols, 'noise'), t: of(symbols, 't'), ...(logvar ? { logvar } : {}) },
      (x, timesteps) => unet(p.under('model.diffusion_model'), lossUnet, { x, timesteps, context: of(symbols, 'c') }),
    );
    return {
      loss: result.loss,
      x_noisy: result.noisy,
      lvlb_weights_at_t: atTimesteps(schedule.lvlb_weights, of(symbols, 't')),
      ...result.metrics,
    };
  });
  const weights = underPrefix(one.weights(one.weightsNames[0] ?? ''), 'model.diffusion_model.');
  if (learned) weights.set('logvar', one.input('logvar'));
  const got = await runGraph(parityEngine(), gradients(graph, 'loss', gradientNames(one)), inputs, weights);
  compareOutputs(one, compare, (output) => got[output] ?? got[logNames(output)]);
}

/** Our name of a value that LDM logs. */
function logNames(output: string): string {
  return output.replace(/^log\.logvar$/, 'logvar_mean').replace(/^log\.(train\/|val\/)?/, '');
}

async function compareConcatenated(one: TrainingCase, compare: Comparisons, { row }: RecordedCase): Promise<void> {
  const hybrid = /hybrid/.test(String(row['exercises']));
  const config = unetConfigSchema.parse({ kind: 'unet', ...one.settings });
  const inputs = inputsOf(one, ['x0', 'noise', 't', 'c_concat', ...(hybrid ? ['c'] : [])]);
  const graph = traceLike(inputs, (symbols, p) => {
    const { loss } = diffusionLoss(
      { schedule: ldmSchedule() },
      { x0: of(symbols, 'x0'), noise: of(symbols, 'noise'), t: of(symbols, 't') },
      (x, timesteps) =>
        unet(p.under('model.diffusion_model'), config, {
          x: concat([x, of(symbols, 'c_concat')], 1),
          timesteps,
          context: symbols['c'],
        }),
    );
    return { loss };
  });
  const whole = (name: string): string => (name.startsWith('model.') ? name : `model.diffusion_model.${name}`);
  const wrt = [...new Set(gradientNames(one).map(whole))];
  const weights = underPrefix(one.weights(one.weightsNames[0] ?? ''), 'model.diffusion_model.');
  const got = await runGraph(parityEngine(), gradients(graph, 'loss', wrt), inputs, weights);
  compareOutputs(one, compare, (name) =>
    name.startsWith('grad.') ? got[`grad.${whole(name.slice('grad.'.length))}`] : got[name],
  );
}

async function compareDropout(one: TrainingCase, compare: Comparisons): Promise<void> {
  const masks = one.input('masks');
  const [count = 0, batch = 0] = masks.shape;
  const inputs = inputsOf(one, ['x0', 'noise', 't', 'c', 'c_empty']);
  const toK = 'model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight';
  const weights = underPrefix(one.weights(one.weightsNames[0] ?? ''), 'model.diffusion_model.');
  const got: Record<string, Tensor> = {};
  for (let i = 0; i < count; i++) {
    const mask = tensor('bool', [batch], (masks.data as Uint8Array).slice(batch * i, batch * (i + 1)));
    const graph = traceLike({ ...inputs, mask }, (symbols, p) => {
      const context = dropConditions(of(symbols, 'c'), of(symbols, 'c_empty'), of(symbols, 'mask'));
      const { loss } = diffusionLoss(
        { schedule: ldmSchedule() },
        { x0: of(symbols, 'x0'), noise: of(symbols, 'noise'), t: of(symbols, 't') },
        (x, timesteps) => unet(p.under('model.diffusion_model'), lossUnet, { x, timesteps, context }),
      );
      return { loss };
    });
    const made = await runGraph(parityEngine(), gradients(graph, 'loss', [toK]), { ...inputs, mask }, weights);
    got[`loss${i}`] = named(made, 'loss');
    got[`grad${i}.to_k`] = named(made, `grad.${toK}`);
  }
  compareOutputs(one, compare, (name) => got[name]);
}

/** The settings' formulas: each for eps, for v, and for v with a schedule of zero terminal SNR. */
function variantsOf(settings: Recorded): (readonly [string, DiffusionLossConfig])[] {
  const table = (bars: Float64Array) => ({
    alphas_cumprod: Float32Array.from(bars),
    sqrt_alphas_cumprod: Float32Array.from(bars, Math.sqrt),
    sqrt_one_minus_alphas_cumprod: Float32Array.from(bars, (bar) => Math.sqrt(1 - bar)),
  });
  const betas = Float32Array.from(betaSchedule('linear', 1000, { linearStart: 0.00085, linearEnd: 0.012 }));
  const zero = table(Float64Array.from(cumulativeProduct(rescaleZeroTerminalSnr(betas))));
  const kinds: readonly (readonly [string, Partial<DiffusionLossConfig>])[] = [
    ['plain', {}],
    ...settings.gammas.map((gamma: number) => [`min_snr_${gamma}`, { minSnrGamma: gamma }] as const),
    ['offset', { noiseOffset: settings.noise_offset }],
    ['perturb', { inputPerturbation: settings.input_perturbation }],
  ];
  const families = [
    ['epsilon', { schedule: ldmSchedule() }],
    ['v_prediction', { schedule: ldmSchedule(), parameterization: 'v' }],
    ['v_prediction_zero_snr', { schedule: zero, parameterization: 'v' }],
  ] as const;
  return families.flatMap(([family, base]) =>
    kinds.map(([kind, more]) => [`${family}.${kind}`, { ...base, ...more }] as const),
  );
}

async function compareVariants(one: TrainingCase, compare: Comparisons): Promise<void> {
  const inputs = inputsOf(one, ['x0', 'noise', 't', 'c', 'off', 'pert']);
  const weights = one.weights(one.weightsNames[0] ?? '');
  const got: Record<string, Tensor> = {};
  for (const [variant, config] of variantsOf(one.settings)) {
    const graph = traceLike(inputs, (symbols, p) => {
      const given = {
        x0: of(symbols, 'x0'),
        noise: of(symbols, 'noise'),
        t: of(symbols, 't'),
        offset: of(symbols, 'off'),
        perturbation: of(symbols, 'pert'),
      };
      const {
        loss,
        noisy,
        target,
        prediction,
        snr,
        weights: weighting,
      } = diffusionLoss(config, given, (x, timesteps) =>
        unet(p, lossUnet, { x, timesteps, context: of(symbols, 'c') }),
      );
      return { loss, x_noisy: noisy, target, model_out: prediction, snr, ...(weighting && { weights: weighting }) };
    });
    const made = await runGraph(parityEngine(), graph, inputs, weights);
    const [family = '', kind = ''] = variant.split('.');
    got[`${variant}.loss`] = named(made, 'loss');
    if (made['weights']) got[`${variant}.weights`] = made['weights'];
    if (kind === 'plain')
      for (const output of ['x_noisy', 'target', 'model_out', 'snr']) got[`${family}.${output}`] = named(made, output);
  }
  compareOutputs(one, compare, (name) => got[name]);
}

function compareBuffers(one: TrainingCase, compare: Comparisons, { row }: RecordedCase): void {
  const { linear_start, linear_end, v_posterior } = one.settings;
  const betas = betaSchedule('linear', 1000, { linearStart: linear_start, linearEnd: linear_end });
  const eps: Readonly<Record<string, Float32Array>> = { ...ddpmBuffers(betas, { vPosterior: v_posterior }) };
  const x0 = ddpmBuffers(betas, { parameterization: 'x0' });
  const note = `${originalOf(row)}; relative to the largest element`;
  for (const [key, value] of one.tensors) {
    const name = key.slice('out.'.length);
    const own = name === 'lvlb_weights_x0' ? x0.lvlb_weights : named(eps, name.replace('diffusers_', ''));
    const want = value.data as Float32Array;
    const scale = 1 / want.reduce((most, element) => Math.max(most, element), 0);
    const scaled = (data: Float32Array): Tensor =>
      float32(
        [data.length],
        data.map((element) => element * scale),
      );
    compare.tensor(key, scaled(own), scaled(want), (row['tolerance'] as Recorded).max_relative, { note });
  }
}
