/**
 * The model of the recorded sampler trajectories: a denoiser that is a formula (samplers/model.json says it in words), so that a
 * sampler is checked alone, without a network. Also the bank of noise, and the index of the recorded cases.
 */

import { readFileSync } from 'node:fs';
import type { DiffusionModel, Latent, PredictedParts } from '../../src/diffusion/denoiser.ts';
import type { NoiseSchedule } from '../../src/diffusion/noise-schedule.ts';
import type { Parameterization } from '../../src/diffusion/parameterization.ts';
import type { NoiseConvention, NoiseSource } from '../../src/random/noise-source.ts';
import { takeBatch } from '../../src/tensor/batches.ts';
import { expectDType, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { reference } from '../reference.ts';
import { pick, readTensors, type Tensors } from '../tensors.ts';

const { means, weights, std }: { means: number[][][]; weights: number[]; std: number } = JSON.parse(
  readFileSync(reference('diffusion/samplers/model.json'), 'utf8'),
);

/** The prediction for each item of the batch with its own condition: 0 unconditional, i + 1 for item i. */
export function analyticOutput(
  schedule: NoiseSchedule,
  parameterization: Parameterization,
  x: Latent,
  timestep: number,
  conditions: readonly number[],
): Latent {
  const [, channels = 1, height = 1, width = 1] = x.shape;
  const out = zeros('float32', x.shape);
  const t = Math.min(Math.max(timestep, 0), schedule.trainTimesteps - 1);
  const logSigma = (i: number) =>
    0.5 * (Math.log1p(-(schedule.alphasCumprod[i] as number)) - Math.log(schedule.alphasCumprod[i] as number));
  const low = Math.floor(t);
  const weight = t - low;
  const a =
    weight === 0
      ? (schedule.alphasCumprod[low] as number)
      : 1 / (1 + Math.exp(2 * ((1 - weight) * logSigma(low) + weight * logSigma(low + 1))));
  const v = a * std * std + 1 - a;
  for (let i = 0; i < x.data.length; i++) {
    const plane = Math.floor(i / (height * width));
    const item = Math.floor(plane / channels);
    const value = x.data[i] as number;
    const m = (means[conditions[item] as number] as number[][]).map((row) => row[plane % channels] as number);
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
    out.data[i] =
      parameterization === 'x0' ? x0 : parameterization === 'eps' ? eps : Math.sqrt(a) * eps - Math.sqrt(1 - a) * x0;
  }
  return out;
}

export interface AnalyticModel extends DiffusionModel {
  /** Timesteps it was called with, and the latents. */
  readonly timesteps: number[];
  readonly seen: Latent[];
}

/** The guided model; with scale 1 the conditional prediction is the answer. */
export function analyticModel(
  schedule: NoiseSchedule,
  parameterization: Parameterization = 'eps',
  scale = 1,
): AnalyticModel {
  const timesteps: number[] = [];
  const seen: Latent[] = [];
  const predictParts = async (x: Latent, timestep: number): Promise<PredictedParts> => {
    timesteps.push(timestep);
    seen.push(x);
    const own = Array.from({ length: x.shape[0] as number }, (_, i) => i + 1);
    const conditional = analyticOutput(schedule, parameterization, x, timestep, own);
    const empty = own.map(() => 0);
    const unconditional = analyticOutput(schedule, parameterization, x, timestep, empty);
    if (scale === 1) return { guided: conditional, unconditional };
    const guided = unconditional.data.map((u, i) =>
      Math.fround(u + Math.fround(scale * Math.fround((conditional.data[i] as number) - u))),
    );
    return { guided: { ...conditional, data: guided }, unconditional };
  };
  return {
    schedule,
    parameterization,
    timesteps,
    seen,
    predictParts,
    predict: async (x, timestep) => (await predictParts(x, timestep)).guided,
  };
}

export const noiseBank = expectDType(
  pick(readTensors(reference('diffusion/samplers/noise_bank.safetensors')), 'bank'),
  'float32',
);

/** Entry k of a recorded stack of latents. */
export function entry(stack: Tensor, k: number): Latent {
  const item = takeBatch(expectDType(stack, 'float32'), k, k + 1);
  return { ...item, shape: item.shape.slice(1) };
}

export interface BankNoise extends NoiseSource {
  /** Number of draws made. */
  readonly drawn: number;
}

/** Draw j is bank[first + j]. */
export function bankNoise(convention: NoiseConvention = 'compvis', first = 1): BankNoise {
  let drawn = 0;
  return {
    convention,
    get drawn() {
      return drawn;
    },
    normal: () => entry(noiseBank, first + drawn++),
  };
}

export interface RecordedCase {
  readonly part: string;
  readonly id: string;
  // biome-ignore lint/suspicious/noExplicitAny: settings differ from case to case
  readonly settings: any;
  readonly tolerance: Readonly<Record<string, number>>;
  readonly reference?: { readonly repo: string; readonly version: string; readonly function: string };
  readonly skipped?: string;
}

export const recordedCases: readonly RecordedCase[] = JSON.parse(
  readFileSync(reference('diffusion/index.json'), 'utf8'),
).cases;

/** The cases of the samplers part whose id starts with `prefix`, and their tensors. */
export function samplerCases(
  prefix: string,
  file: string,
): { readonly cases: readonly RecordedCase[]; readonly tensors: Tensors } {
  const cases = recordedCases.filter((row) => row.part === 'samplers' && row.id.startsWith(prefix));
  return { cases, tensors: readTensors(reference(`diffusion/samplers/${file}.safetensors`)) };
}

/** Latents put on top of each other: [k, ...shape]. */
export function stack(latents: readonly Latent[]): Tensor<'float32'> {
  const [first] = latents;
  if (!first) throw new Error('no latents');
  const data = new Float32Array(latents.length * first.data.length);
  for (const [k, latent] of latents.entries()) data.set(latent.data, k * first.data.length);
  return { dtype: 'float32', shape: [latents.length, ...first.shape], data };
}
