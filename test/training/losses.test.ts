/** Losses of latent diffusion against LDM's p_losses and diffusers' training formulas: values, gradients, noisy inputs and weights. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { unetConfigSchema } from '../../src/config/network-config.ts';
import {
  type BetaScheduleName,
  betaSchedule,
  cumulativeProduct,
  rescaleZeroTerminalSnr,
} from '../../src/diffusion/beta-schedule.ts';
import { ddpmBuffers } from '../../src/diffusion/noise-schedule.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { concat, constant } from '../../src/graph/functions.ts';
import { gradients } from '../../src/graph/gradients.ts';
import type { Sym } from '../../src/graph/trace.ts';
import { unet } from '../../src/models/unet.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import {
  atTimesteps,
  type DiffusionLossConfig,
  diffusionLoss,
  dropConditions,
} from '../../src/training/objective/diffusion.ts';
import type { Parameterization } from '../../src/diffusion/objective.ts';
import { runGraph, traceLike } from '../graph/run-graph.ts';
import { compareTensor } from '../parity.ts';
import { skipUnless } from '../reference.ts';
import { compareCase, norm, readCase, type RecordedCase, readWeights } from './recorded-case.ts';
import { lossUnet, lossWeights, ldmSchedule, withPrefix } from './loss-unet.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

const inputsOf = (recorded: RecordedCase, names: readonly string[]): Record<string, Tensor> =>
  Object.fromEntries(names.map((name) => [name, recorded.input(name)]));
const of = (named: Readonly<Record<string, Sym>>, name: string): Sym => named[name] ?? assert.fail(`no input ${name}`);
const get = (values: Readonly<Record<string, Tensor>>, name: string): Tensor =>
  values[name] ?? assert.fail(`no ${name}`);

/** Gradients and their norms by the recorded names. */
const gradientFinder =
  (got: Readonly<Record<string, Tensor>>) =>
  (name: string): Tensor | undefined => {
    const direct = got[name];
    if (direct) return direct;
    if (!name.startsWith('gradnorm.')) return undefined;
    const gradient = got[`grad.${name.slice('gradnorm.'.length)}`];
    return gradient && float32([], [norm(gradient)]);
  };

const wantedGradients = (recorded: RecordedCase): string[] =>
  [
    ...new Set(
      Object.keys(recorded.tolerance).flatMap((key) => [
        /^out\.grad\.(.*?)(\[::4\])?$/.exec(key)?.[1] ?? /^out\.gradnorm\.(.*)$/.exec(key)?.[1] ?? '',
      ]),
    ),
  ].filter(Boolean);

for (const own of [
  'eps_l2',
  'eps_elbo_logvar',
  'x0_elbo_logvar',
  'eps_l1_logvar_init',
  'x0_l1_cosine',
  'eps_vposterior',
]) {
  const name = `loss/p_losses_${own}`;
  test(name, { skip: skipUnless(`training/${name}.json`) }, async () => {
    const recorded = readCase(name);
    const { settings } = recorded;
    const parameterization = (settings['parameterization'] ?? 'eps') as Parameterization;
    const betas = betaSchedule(
      (settings['beta_schedule'] ?? 'linear') as BetaScheduleName,
      1000,
      settings['beta_schedule'] ? {} : { linearStart: 0.00085, linearEnd: 0.012 },
    );
    const schedule = ddpmBuffers(betas, { parameterization, vPosterior: Number(settings['v_posterior'] ?? 0) });
    const learned = settings['learn_logvar'] === true;
    const config: DiffusionLossConfig = {
      schedule,
      parameterization,
      lossType: settings['loss_type'] === 'l1' ? 'l1' : 'l2',
      simpleWeight: Number(settings['l_simple_weight'] ?? 1),
      elboWeight: Number(settings['original_elbo_weight'] ?? 0),
    };
    const inputs = inputsOf(recorded, ['x0', 'noise', 't', 'c']);
    const graph = traceLike(inputs, (named, p) => {
      const initial = settings['logvar_init'];
      const logvar = learned
        ? p.get('logvar', [1000])
        : initial === undefined
          ? undefined
          : constant(of(named, 'x0'), float32([1000], new Float32Array(1000).fill(Number(initial))));
      const result = diffusionLoss(
        config,
        { x0: of(named, 'x0'), noise: of(named, 'noise'), t: of(named, 't'), ...(logvar ? { logvar } : {}) },
        (x, timesteps) => unet(p.under('model.diffusion_model'), lossUnet, { x, timesteps, context: of(named, 'c') }),
      );
      return {
        loss: result.loss,
        x_noisy: result.noisy,
        lvlb_weights_at_t: atTimesteps(schedule.lvlb_weights, of(named, 't')),
        ...result.metrics,
      };
    });
    const weights = withPrefix(lossWeights(), 'model.diffusion_model.');
    if (learned) weights.set('logvar', recorded.input('logvar'));
    const got = await runGraph(engine, gradients(graph, 'loss', wantedGradients(recorded)), inputs, weights);
    const find = gradientFinder(got);
    compareCase(
      recorded,
      (output) =>
        find(
          output
            .replace(/^log\.logvar$/, 'logvar_mean')
            .replace(/^log\.(train\/|val\/)?/, '')
            .replace('[::4]', ''),
        ) ?? find(output),
    );
  });
}

for (const [own, key] of [
  ['concat', 'c_concat'],
  ['hybrid', 'c_concat'],
] as const) {
  const name = `loss/p_losses_${own}`;
  test(name, { skip: skipUnless(`training/${name}.json`) }, async () => {
    const recorded = readCase(name);
    const config = unetConfigSchema.parse({ kind: 'unet', ...recorded.settings });
    const inputs = inputsOf(recorded, ['x0', 'noise', 't', key, ...(own === 'hybrid' ? ['c'] : [])]);
    const graph = traceLike(inputs, (named, p) => {
      const result = diffusionLoss(
        { schedule: ldmSchedule() },
        { x0: of(named, 'x0'), noise: of(named, 'noise'), t: of(named, 't') },
        (x, timesteps) =>
          unet(p.under('model.diffusion_model'), config, {
            x: concat([x, of(named, key)], 1),
            timesteps,
            context: named['c'],
          }),
      );
      return { loss: result.loss };
    });
    const wrt = [
      ...new Set(
        wantedGradients(recorded).map((gradient) =>
          gradient.startsWith('model.') ? gradient : `model.diffusion_model.${gradient}`,
        ),
      ),
    ];
    const got = await runGraph(
      engine,
      gradients(graph, 'loss', wrt),
      inputs,
      withPrefix(readWeights(`loss/unet_${own}`), 'model.diffusion_model.'),
    );
    const find = gradientFinder(got);
    compareCase(recorded, (output) => find(output) ?? find(output.replace('grad.', 'grad.model.diffusion_model.')));
  });
}

test('loss/conditioning_dropout', { skip: skipUnless('training/loss/conditioning_dropout.json') }, async () => {
  const recorded = readCase('loss/conditioning_dropout');
  const masks = recorded.input('masks');
  const inputs = inputsOf(recorded, ['x0', 'noise', 't', 'c', 'c_empty']);
  const toK = 'model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight';
  const got: Record<string, Tensor> = {};
  for (let i = 0; i < 4; i++) {
    const all = { ...inputs, mask: tensor('bool', [4], (masks.data as Uint8Array).slice(4 * i, 4 * i + 4)) };
    const graph = traceLike(all, (named, p) => {
      const context = dropConditions(of(named, 'c'), of(named, 'c_empty'), of(named, 'mask'));
      const { loss } = diffusionLoss(
        { schedule: ldmSchedule() },
        { x0: of(named, 'x0'), noise: of(named, 'noise'), t: of(named, 't') },
        (x, timesteps) => unet(p.under('model.diffusion_model'), lossUnet, { x, timesteps, context }),
      );
      return { loss };
    });
    const made = await runGraph(
      engine,
      gradients(graph, 'loss', [toK]),
      all,
      withPrefix(lossWeights(), 'model.diffusion_model.'),
    );
    got[`loss${i}`] = get(made, 'loss');
    got[`grad${i}.to_k`] = get(made, `grad.${toK}`);
  }
  compareCase(recorded, (name) => got[name]);
});

test('loss/diffusers_variants', { skip: skipUnless('training/loss/diffusers_variants.json') }, async () => {
  const recorded = readCase('loss/diffusers_variants');
  const inputs = inputsOf(recorded, ['x0', 'noise', 't', 'c', 'off', 'pert']);
  const got: Record<string, Tensor> = {};
  const plain = ldmSchedule();
  const table = (bars: Float64Array) => ({
    alphas_cumprod: Float32Array.from(bars),
    sqrt_alphas_cumprod: Float32Array.from(bars, Math.sqrt),
    sqrt_one_minus_alphas_cumprod: Float32Array.from(bars, (bar) => Math.sqrt(1 - bar)),
  });
  const betas = Float32Array.from(betaSchedule('linear', 1000, { linearStart: 0.00085, linearEnd: 0.012 }));
  const zero = table(Float64Array.from(cumulativeProduct(rescaleZeroTerminalSnr(betas))));
  const variants: readonly (readonly [string, Partial<DiffusionLossConfig> & Pick<DiffusionLossConfig, 'schedule'>])[] =
    [
      ['epsilon.plain', { schedule: plain }],
      ['epsilon.min_snr_5', { schedule: plain, minSnrGamma: 5 }],
      ['epsilon.min_snr_1', { schedule: plain, minSnrGamma: 1 }],
      ['epsilon.offset', { schedule: plain, noiseOffset: 0.1 }],
      ['epsilon.perturb', { schedule: plain, inputPerturbation: 0.1 }],
      ...(
        [
          ['v_prediction', plain],
          ['v_prediction_zero_snr', zero],
        ] as const
      ).flatMap(([variant, schedule]) =>
        (
          [
            ['plain', {}],
            ['min_snr_5', { minSnrGamma: 5 }],
            ['min_snr_1', { minSnrGamma: 1 }],
            ['offset', { noiseOffset: 0.1 }],
            ['perturb', { inputPerturbation: 0.1 }],
          ] as const
        ).map(([kind, more]) => [`${variant}.${kind}`, { schedule, parameterization: 'v' as const, ...more }] as const),
      ),
    ];
  for (const [variant, config] of variants) {
    const graph = traceLike(inputs, (named, p) => {
      const result = diffusionLoss(
        config,
        {
          x0: of(named, 'x0'),
          noise: of(named, 'noise'),
          t: of(named, 't'),
          offset: of(named, 'off'),
          perturbation: of(named, 'pert'),
        },
        (x, timesteps) => unet(p, lossUnet, { x, timesteps, context: of(named, 'c') }),
      );
      return {
        loss: result.loss,
        x_noisy: result.noisy,
        target: result.target,
        model_out: result.prediction,
        snr: result.snr,
        ...(result.weights ? { weights: result.weights } : {}),
      };
    });
    const made = await runGraph(engine, graph, inputs, lossWeights());
    const [family = '', kind = ''] = variant.split('.');
    got[`${variant}.loss`] = get(made, 'loss');
    if (made['weights']) got[`${variant}.weights`] = made['weights'];
    if (kind === 'plain')
      for (const output of ['x_noisy', 'target', 'model_out', 'snr']) got[`${family}.${output}`] = get(made, output);
  }
  compareCase(recorded, (name) => got[name]);
});

test('loss/schedule_buffers', { skip: skipUnless('training/loss/schedule_buffers.safetensors') }, async () => {
  const { readTensors } = await import('../tensors.ts');
  const { reference } = await import('../reference.ts');
  const want = readTensors(reference('training/loss/schedule_buffers.safetensors'));
  const betas = betaSchedule('linear', 1000, { linearStart: 0.00085, linearEnd: 0.012 });
  const eps = ddpmBuffers(betas);
  const x0 = ddpmBuffers(betas, { parameterization: 'x0' });
  for (const [key, value] of want) {
    const name = key.slice('out.'.length);
    const own =
      name === 'lvlb_weights_x0'
        ? x0.lvlb_weights
        : (eps as unknown as Readonly<Record<string, Float32Array>>)[name.replace('diffusers_', '')];
    assert.ok(own, `no buffer ${name}`);
    // Relative to the largest element, as the case states its tolerance relative.
    const scale = 1 / Math.max(...(value.data as Float32Array));
    const scaled = (data: Float32Array): Tensor =>
      float32(
        [1000],
        data.map((element) => element * scale),
      );
    compareTensor(
      {
        part: 'training',
        case: 'loss/schedule_buffers',
        output: key,
        tolerance: 2e-6,
        note: 'relative to the largest element',
      },
      scaled(own),
      scaled(value.data as Float32Array),
    );
  }
});
