/**
 * Losses of latent diffusion (`LatentDiffusion.p_losses`, Ho et al. 2020, Rombach et al. 2022), with the variants of diffusers'
 * training scripts: offset noise, input perturbation, min-SNR weights (Hang et al. 2023), v-prediction (Salimans & Ho 2022).
 */

import type { DdpmBuffers } from '../../diffusion/noise-schedule.ts';
import { type Objective, objectiveOf, type Parameterization } from '../../diffusion/objective.ts';
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
  mul,
  reshape,
  sqrt,
  sub,
  where,
} from '../../graph/functions.ts';
import type { Sym } from '../../graph/trace.ts';
import { float32 } from '../../tensor/tensor.ts';

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

/** Options that LDM's configurations lack. */
export type LossVariants = Pick<DiffusionLossConfig, 'lossType' | 'minSnrGamma' | 'noiseOffset' | 'inputPerturbation'>;

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

/** A value of each timestep, [T], from its levels. */
function tableOf(
  schedule: DiffusionLossConfig['schedule'],
  value: (alpha: number, sigma: number) => number,
): Float32Array {
  const { sqrt_alphas_cumprod: alphas, sqrt_one_minus_alphas_cumprod: sigmas } = schedule;
  return alphas.map((alpha, t) => value(alpha, sigmas[t] ?? 0));
}

/** A symbol times a factor that each timestep has; undefined where it is 0 at all of them. */
function scaled(value: Sym, table: Float32Array, t: Sym): Sym | undefined {
  if (table.every((factor) => factor === 0)) return undefined;
  return table.every((factor) => factor === 1) ? value : mul(value, perSample(atTimesteps(table, t)));
}

/** The training target of the network (`Objective.target`). */
function targetOf(
  objective: Objective,
  { x0, t }: DiffusionLossInputs,
  noise: Sym,
  schedule: DiffusionLossConfig['schedule'],
): Sym {
  const parts = [
    scaled(
      noise,
      tableOf(schedule, (alpha, sigma) => objective.target(alpha, sigma)[1]),
      t,
    ),
    scaled(
      x0,
      tableOf(schedule, (alpha, sigma) => objective.target(alpha, sigma)[0]),
      t,
    ),
  ].filter((part) => part !== undefined);
  return parts.reduce((sum, part) => add(sum, part));
}

/** The loss of `predict`, the network as a function of noisy latents and timesteps (float32 [b]). */
export function diffusionLoss(
  config: DiffusionLossConfig,
  inputs: DiffusionLossInputs,
  predict: (noisy: Sym, timesteps: Sym) => Sym,
): DiffusionLoss {
  const { schedule, parameterization = 'eps', simpleWeight = 1, elboWeight = 0, minSnrGamma } = config;
  const objective = objectiveOf(parameterization);
  const { x0, t } = inputs;
  const noise = config.noiseOffset
    ? add(inputs.noise, mul(require(inputs.offset, 'offset noise'), config.noiseOffset))
    : inputs.noise;
  const mixed = config.inputPerturbation
    ? add(noise, mul(require(inputs.perturbation, 'perturbation noise'), config.inputPerturbation))
    : noise;
  const noisy = noisyAt(x0, mixed, t, schedule);
  const seen = scaled(noisy, tableOf(schedule, objective.noising), t) ?? noisy;
  const prediction = predict(seen, cast(t, 'float32'));
  const target = targetOf(objective, inputs, noise, schedule);
  const each = mean(elementLoss(prediction, target, config.lossType), [1, 2, 3]); // [b]

  const bar = atTimesteps(schedule.alphas_cumprod, t);
  const snr = div(bar, sub(1, bar));
  const weights =
    minSnrGamma === undefined
      ? undefined
      : atTimesteps(
          schedule.alphas_cumprod.map((alphaBar) => objective.minSnr(alphaBar / (1 - alphaBar), minSnrGamma)),
          t,
        );
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
