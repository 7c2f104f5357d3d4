/**
 * The model of the recorded sampler trajectories: a denoiser that is a formula (samplers/model.json states it), so that a sampler is checked alone,
 * without a network; and the bank of noise that the recorded runs drew from.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DiffusionModel, Latent, PredictedParts } from '../../src/diffusion/denoiser.ts';
import type { NoiseSchedule } from '../../src/diffusion/noise-schedule.ts';
import type { Parameterization } from '../../src/diffusion/parameterization.ts';
import type { NoiseConvention, NoiseSource } from '../../src/random/noise-source.ts';
import { takeBatch } from '../../src/tensor/batches.ts';
import { expectDType, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { pick, readTensors } from '../tensors.ts';

export interface AnalyticModel extends DiffusionModel {
  /** Timesteps and latents that it was called with. */
  readonly timesteps: number[];
  readonly seen: Latent[];
}

export interface BankNoise extends NoiseSource {
  /** Number of draws made. */
  readonly drawn: number;
}

export interface AnalyticSet {
  /** The prediction for each item of the batch with its own condition: 0 unconditional, i + 1 for item i. */
  output(
    schedule: NoiseSchedule,
    parameterization: Parameterization,
    x: Latent,
    timestep: number,
    conditions: readonly number[],
  ): Latent;
  /** The guided model; with scale 1 the conditional prediction is the answer. */
  model(schedule: NoiseSchedule, parameterization?: Parameterization, scale?: number): AnalyticModel;
  /** [draw, ...latent]; entry 0 is the start noise. */
  readonly noiseBank: Tensor<'float32'>;
  /** Draw j is noiseBank[first + j]. */
  bankNoise(convention?: NoiseConvention, first?: number): BankNoise;
}

/** Reads `samplers/model.json` and `samplers/noise_bank.safetensors` of a recorded set `diffusion`. */
export function analyticSet(setFolder: string): AnalyticSet {
  const { means, weights, std }: { means: number[][][]; weights: number[]; std: number } = JSON.parse(
    readFileSync(join(setFolder, 'samplers/model.json'), 'utf8'),
  );
  const noiseBank = expectDType(
    pick(readTensors(join(setFolder, 'samplers/noise_bank.safetensors')), 'bank'),
    'float32',
  );

  const output: AnalyticSet['output'] = (schedule, parameterization, x, timestep, conditions) => {
    const [, channels = 1, height = 1, width = 1] = x.shape;
    const out = zeros('float32', x.shape);
    const a = alphaBarAt(schedule, timestep);
    const v = a * std * std + 1 - a;
    for (let i = 0; i < x.data.length; i++) {
      const plane = Math.floor(i / (height * width));
      const value = x.data[i] as number;
      const condition = conditions[Math.floor(plane / channels)] as number;
      const m = (means[condition] as number[][]).map((row) => row[plane % channels] as number);
      const d = m.map((mean) => value - Math.sqrt(a) * mean);
      const logits = d.map((distance, k) => Math.log(weights[k] as number) - (distance * distance) / (2 * v));
      const top = Math.max(...logits);
      const powers = logits.map((logit) => Math.exp(logit - top));
      const total = powers.reduce((sum, power) => sum + power, 0);
      const x0 = powers.reduce(
        (sum, power, k) =>
          sum + (power / total) * ((m[k] as number) + ((Math.sqrt(a) * std * std) / v) * (d[k] as number)),
        0,
      );
      const eps = (value - Math.sqrt(a) * x0) / Math.sqrt(1 - a);
      out.data[i] = { x0, eps, v: Math.sqrt(a) * eps - Math.sqrt(1 - a) * x0, flow: eps - x0 }[parameterization];
    }
    return out;
  };

  const model: AnalyticSet['model'] = (schedule, parameterization = 'eps', scale = 1) => {
    const timesteps: number[] = [];
    const seen: Latent[] = [];
    const predictParts = async (x: Latent, timestep: number): Promise<PredictedParts> => {
      timesteps.push(timestep);
      seen.push(x);
      const own = Array.from({ length: x.shape[0] as number }, (_, i) => i + 1);
      const conditional = output(schedule, parameterization, x, timestep, own);
      const none = own.map(() => 0);
      const unconditional = output(schedule, parameterization, x, timestep, none);
      if (scale === 1) return { guided: conditional, unconditional };
      const guided = unconditional.data.map((u, i) =>
        Math.fround(u + Math.fround(scale * Math.fround((conditional.data[i] as number) - u))),
      );
      return { guided: { ...conditional, data: guided }, unconditional };
    };
    const predict = async (x: Latent, timestep: number): Promise<Latent> => (await predictParts(x, timestep)).guided;
    return { schedule, parameterization, timesteps, seen, predictParts, predict };
  };

  const bankNoise: AnalyticSet['bankNoise'] = (convention = 'compvis', first = 1) => {
    let drawn = 0;
    return {
      convention,
      get drawn() {
        return drawn;
      },
      normal: () => entry(noiseBank, first + drawn++),
    };
  };
  return { output, model, noiseBank, bankNoise };
}

/** The cumulative alpha at a timestep, between two of the table by the logarithm of sigma. */
function alphaBarAt({ alphasCumprod, trainTimesteps }: NoiseSchedule, timestep: number): number {
  const t = Math.min(Math.max(timestep, 0), trainTimesteps - 1);
  const logSigma = (i: number): number =>
    0.5 * (Math.log1p(-(alphasCumprod[i] as number)) - Math.log(alphasCumprod[i] as number));
  const low = Math.floor(t);
  const weight = t - low;
  if (weight === 0) return alphasCumprod[low] as number;
  return 1 / (1 + Math.exp(2 * ((1 - weight) * logSigma(low) + weight * logSigma(low + 1))));
}

/** Entry k of a recorded stack of latents. */
export function entry(stack: Tensor, k: number): Latent {
  const item = takeBatch(expectDType(stack, 'float32'), k, k + 1);
  return { ...item, shape: item.shape.slice(1) };
}

/** Latents put on top of each other: [k, ...shape]. */
export function stack(latents: readonly Latent[]): Tensor<'float32'> {
  const [first] = latents;
  if (!first) throw new Error('no latents');
  const data = new Float32Array(latents.length * first.data.length);
  for (const [k, latent] of latents.entries()) data.set(latent.data, k * first.data.length);
  return { dtype: 'float32', shape: [latents.length, ...first.shape], data };
}
