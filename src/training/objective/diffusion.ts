/**
 * Losses of latent diffusion (`LatentDiffusion.p_losses`, Ho et al. 2020, Rombach et al. 2022), with the variants of diffusers'
 * training scripts: offset noise, input perturbation, min-SNR weights (Hang et al. 2023), v-prediction (Salimans & Ho 2022).
 */

import type { DdpmBuffers } from '../../diffusion/noise-schedule.ts';
import { StableDiffusionError } from '../../errors.ts';
import {
  abs,
  add,
  cast,
  constant,
  div,
  exp,
  gather,
  mean,
  minimum,
  mul,
  reshape,
  sqrt,
  sub,
  where,
} from '../../graph/functions.ts';
import type { Sym } from '../../graph/trace.ts';
import { float32 } from '../../tensor/tensor.ts';

/** What the network predicts. */
export type Parameterization = 'eps' | 'v' | 'x0';

export interface DiffusionLossConfig {
  /** float32 [T] tables of the noise schedule. `lvlb_weights` are needed with `elboWeight`. */
  readonly schedule: Pick<DdpmBuffers, 'alphas_cumprod' | 'sqrt_alphas_cumprod' | 'sqrt_one_minus_alphas_cumprod'> &
    Partial<Pick<DdpmBuffers, 'lvlb_weights'>>;
  /** Default 'eps'. */
  readonly parameterization?: Parameterization;
  /** Default 'l2'. 'huber' is the smooth form of diffusers: 2c (sqrt(d² + c²) - c), c = 0.1. */
  readonly lossType?: 'l1' | 'l2' | 'huber';
  /** Weight of the simple loss. Default 1 (`l_simple_weight`). */
  readonly simpleWeight?: number;
  /** Weight of the variational bound. Default 0 (`original_elbo_weight`). */
  readonly elboWeight?: number;
  /** Weighs each sample by min(SNR, gamma) / SNR (eps), / (SNR + 1) (v), or min(SNR, gamma) (x0). */
  readonly minSnrGamma?: number;
  /** Adds this times `offset`, one number a sample and channel, to the noise (Guttenberg 2023; diffusers uses 0.1). */
  readonly noiseOffset?: number;
  /** Makes the network's input, not its target, from the noise plus this times `perturbation` (Ning et al. 2023). */
  readonly inputPerturbation?: number;
}

export interface DiffusionLossInputs {
  /** Latents [b, c, h, w], scaled. */
  readonly x0: Sym;
  /** Standard normal, of the same shape. */
  readonly noise: Sym;
  /** Timesteps, int64 [b], 0 … T-1. */
  readonly t: Sym;
  /** Standard normal [b, c, 1, 1]; needed with `noiseOffset`. */
  readonly offset?: Sym;
  /** Standard normal of the shape of x0; needed with `inputPerturbation`. */
  readonly perturbation?: Sym;
  /** Logarithm of the variance of each timestep's loss, [T]: a parameter with `learn_logvar`, else a constant. By default 0. */
  readonly logvar?: Sym;
}

export interface DiffusionLoss {
  /** Scalar. */
  readonly loss: Sym;
  /** Scalars by the original's names: `loss_simple`, `loss_vlb`, and with `logvar` `loss_gamma` and `logvar_mean`, which it logs as `logvar`. */
  readonly metrics: Readonly<Record<string, Sym>>;
  readonly noisy: Sym;
  readonly target: Sym;
  readonly prediction: Sym;
  /** Signal-to-noise ratio and min-SNR weight of each sample, [b]. */
  readonly snr: Sym;
  readonly weights?: Sym;
}

/** |prediction - target| as the loss has it, element by element. */
export function elementLoss(prediction: Sym, target: Sym, type: DiffusionLossConfig['lossType'] = 'l2'): Sym {
  const difference = sub(target, prediction);
  const square = (): Sym => mul(difference, difference);
  if (type === 'l1') return abs(difference);
  if (type === 'l2') return square();
  const c = 0.1;
  return mul(sub(sqrt(add(square(), c * c)), c), 2 * c);
}

/** Entries of a float32 table [T] at timesteps int64 [b] → [b]. */
export function atTimesteps(table: Float32Array, t: Sym): Sym {
  return gather(constant(t, float32([table.length], table)), t);
}

const perSample = (value: Sym): Sym => reshape(value, [value.shape[0] ?? 1, 1, 1, 1]);

function require<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new StableDiffusionError('invalid-argument', `The loss needs ${what}.`);
  return value;
}

/** √ᾱ · x0 + √(1 - ᾱ) · noise (`q_sample`). */
export function noisyAt(x0: Sym, noise: Sym, t: Sym, schedule: DiffusionLossConfig['schedule']): Sym {
  return add(
    mul(x0, perSample(atTimesteps(schedule.sqrt_alphas_cumprod, t))),
    mul(noise, perSample(atTimesteps(schedule.sqrt_one_minus_alphas_cumprod, t))),
  );
}

function targetOf(
  parameterization: Parameterization,
  { x0, t }: DiffusionLossInputs,
  noise: Sym,
  schedule: DiffusionLossConfig['schedule'],
): Sym {
  if (parameterization === 'eps') return noise;
  if (parameterization === 'x0') return x0;
  return sub(
    mul(noise, perSample(atTimesteps(schedule.sqrt_alphas_cumprod, t))),
    mul(x0, perSample(atTimesteps(schedule.sqrt_one_minus_alphas_cumprod, t))),
  );
}

function minSnrWeights(snr: Sym, gamma: number, parameterization: Parameterization): Sym {
  const smaller = minimum(snr, gamma);
  if (parameterization === 'x0') return smaller;
  return div(smaller, parameterization === 'v' ? add(snr, 1) : snr);
}

/** The loss of `predict`, the network as a function of noisy latents and timesteps (float32 [b]). */
export function diffusionLoss(
  config: DiffusionLossConfig,
  inputs: DiffusionLossInputs,
  predict: (noisy: Sym, timesteps: Sym) => Sym,
): DiffusionLoss {
  const { schedule, parameterization = 'eps', simpleWeight = 1, elboWeight = 0 } = config;
  const { x0, t } = inputs;
  const noise = config.noiseOffset
    ? add(inputs.noise, mul(require(inputs.offset, 'offset noise'), config.noiseOffset))
    : inputs.noise;
  const mixed = config.inputPerturbation
    ? add(noise, mul(require(inputs.perturbation, 'perturbation noise'), config.inputPerturbation))
    : noise;
  const noisy = noisyAt(x0, mixed, t, schedule);
  const prediction = predict(noisy, cast(t, 'float32'));
  const target = targetOf(parameterization, inputs, noise, schedule);
  const each = mean(elementLoss(prediction, target, config.lossType), [1, 2, 3]); // [b]

  const bar = atTimesteps(schedule.alphas_cumprod, t);
  const snr = div(bar, sub(1, bar));
  const weights =
    config.minSnrGamma === undefined ? undefined : minSnrWeights(snr, config.minSnrGamma, parameterization);
  const simple = weights ? mul(each, weights) : each;

  const metrics: Record<string, Sym> = { loss_simple: mean(simple) };
  let loss = mul(metrics['loss_simple'] as Sym, simpleWeight);
  if (inputs.logvar) {
    const logvar = gather(inputs.logvar, t);
    const gamma = mean(add(div(simple, exp(logvar)), logvar));
    metrics['loss_gamma'] = gamma;
    metrics['logvar_mean'] = mean(inputs.logvar);
    loss = mul(gamma, simpleWeight);
  }
  if (schedule.lvlb_weights) {
    const bound = mean(mul(each, atTimesteps(schedule.lvlb_weights, t)));
    metrics['loss_vlb'] = bound;
    if (elboWeight !== 0) loss = add(loss, mul(bound, elboWeight));
  } else if (elboWeight !== 0) require(schedule.lvlb_weights, "the schedule's lvlb_weights, because elboWeight is set");
  return { loss, metrics, noisy, target, prediction, snr, ...(weights ? { weights } : {}) };
}

/** Rows of conditions [b, n, d] whose mask (bool [b]) is true become the empty condition [1, n, d] (classifier-free guidance, Ho & Salimans 2022). */
export function dropConditions(context: Sym, empty: Sym, mask: Sym): Sym {
  return where(reshape(mask, [mask.shape[0] ?? 1, 1, 1]), empty, context);
}
