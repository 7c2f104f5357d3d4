/** A model of denoising-diffusion-pytorch: its UNet, and the diffusion process that its checkpoint holds or its flags name. */

import { canonicalWeights } from '../checkpoints/canonical.ts';
import { inferLucidUNet } from '../checkpoints/infer/pixel-unets.ts';
import type { LucidFile } from '../checkpoints/lucid-file.ts';
import type { LucidFlags } from '../config/lucid-flags.ts';
import type { LucidUNetConfig } from '../config/network-config.ts';
import { configError } from '../config/validate.ts';
import { cosineLogSnr, linearLogSnr } from '../diffusion/continuous-time.ts';
import type { MeanType } from '../diffusion/gaussian/index.ts';
import {
  lucidContinuous,
  lucidElucidated,
  lucidGaussian,
  type LucidNetwork,
  type LucidProcess,
} from '../diffusion/lucid-process.ts';
import { lucidBetas } from '../diffusion/lucid-schedules.ts';
import type { Engine } from '../engine/engine.ts';
import { traceLucidUNet } from '../models/lucid-unet.ts';
import { expectDType, float32, type Tensor } from '../tensor/tensor.ts';
import { assertNetworksMatch } from './network-set.ts';

export interface LucidModel extends AsyncDisposable {
  readonly label: string;
  readonly channels: number;
  /** Sides of pictures are multiples of it. */
  readonly unit: number;
  readonly process: LucidProcess;
  readonly network: LucidNetwork;
  /** Whether the network's pictures are in [-1, 1], not in [0, 1]. */
  readonly isNormalized: boolean;
}

type Objective = NonNullable<LucidFlags['objective']>;

const means: { readonly [K in Objective]: MeanType } = {
  pred_noise: 'epsilon',
  pred_x0: 'start_x',
  pred_v: 'velocity',
};

/** The weight of the loss at a signal-to-noise ratio, below the bound of min-SNR. */
const weights: { readonly [K in Objective]: (snr: number) => number } = {
  pred_noise: () => 1,
  pred_x0: (snr) => snr,
  pred_v: (snr) => snr / (snr + 1),
};

const objectives = Object.keys(means) as readonly Objective[];

/** The objective whose weights a checkpoint holds, by the timestep where noise has twice the power of the picture; undefined if none fits. */
export function lucidObjective(betas: Float64Array, lossWeight: ArrayLike<number>): Objective | undefined {
  let bar = 1;
  const ratios = Array.from(betas, (beta) => {
    bar *= 1 - beta;
    return bar / (1 - bar);
  });
  const distance = (snr: number): number => Math.abs(Math.log(snr / 0.5));
  const at = ratios.reduce((best, snr, i) => (distance(snr) < distance(ratios[best] as number) ? i : best), 0);
  const [snr, found] = [ratios[at] as number, lossWeight[at] as number];
  return objectives.find((name) => Math.abs(found / weights[name](snr) - 1) < 0.01);
}

async function gaussianOf(
  { buffers, unet }: LucidFile,
  flags: LucidFlags,
  config: LucidUNetConfig,
): Promise<LucidProcess> {
  const read = async (name: string): Promise<Float64Array | undefined> =>
    buffers.entries.has(name) ? Float64Array.from((await buffers.read(name)).data as ArrayLike<number>) : undefined;
  const { beta_schedule: schedule, timesteps = 1000 } = flags;
  const betas = schedule === undefined ? await read('betas') : lucidBetas[schedule](timesteps);
  if (!betas)
    throw configError(
      `${unet.label} holds a UNet without its diffusion. Give --flags "--beta_schedule sigmoid --timesteps 1000 --objective pred_v" as it was trained (the defaults of GaussianDiffusion).`,
    );
  const lossWeight = await read('loss_weight');
  const objective = flags.objective ?? (lossWeight && lucidObjective(betas, lossWeight));
  if (objective === undefined)
    throw configError(
      `${unet.label} does not show what its network predicts. Give --flags "--objective pred_noise", or pred_x0 or pred_v.`,
    );
  return lucidGaussian({ betas, mean: means[objective], learnsVariance: config.learned_variance });
}

/** The names of its constructor. */
const elucidatedOf = (flags: LucidFlags, config: LucidUNetConfig): LucidProcess => {
  const given = {
    sigmaMin: flags.sigma_min,
    sigmaMax: flags.sigma_max,
    sigmaData: flags.sigma_data,
    rho: flags.rho,
    sChurn: flags.S_churn,
    sTmin: flags.S_tmin,
    sTmax: flags.S_tmax,
    sNoise: flags.S_noise,
  };
  const stated = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return lucidElucidated(stated, config.self_condition);
};

function continuousOf({ unet, buffers }: LucidFile, flags: LucidFlags): LucidProcess {
  if (
    buffers.entries.has('log_snr.net.1.weight') ||
    [...buffers.entries.keys()].some((name) => name.startsWith('log_snr.'))
  )
    throw configError(
      `${unet.label} has a learned noise schedule of continuous time, which this program does not read.`,
    );
  const { noise_schedule: schedule, objective } = flags;
  if (schedule === undefined)
    throw configError(
      `${unet.label} was trained in continuous time, and does not hold its schedule. Give --flags "--noise_schedule linear", or cosine; and --objective pred_v if the network predicts v.`,
    );
  if (objective === 'pred_x0') throw configError('In continuous time the objective is pred_noise or pred_v.');
  return lucidContinuous(schedule === 'linear' ? linearLogSnr : cosineLogSnr, objective === 'pred_v' ? 'v' : 'noise');
}

function processOf(file: LucidFile, flags: LucidFlags, config: LucidUNetConfig): LucidProcess | Promise<LucidProcess> {
  // Only those two classes take networks with Fourier features of the time.
  const isFourier = config.learned_sinusoidal_cond || config.random_fourier_features;
  const byNames = file.holder === 'net' ? 'elucidated' : !isFourier ? 'gaussian' : file.holder && 'continuous';
  const kind = flags.process ?? byNames;
  if (kind === 'gaussian') return gaussianOf(file, flags, config);
  if (kind === 'elucidated') return elucidatedOf(flags, config);
  if (kind === 'continuous') return continuousOf(file, flags);
  throw configError(
    `${file.unet.label} holds a UNet alone. Give --flags "--process elucidated" if ElucidatedDiffusion trained it, or "--process continuous --noise_schedule linear".`,
  );
}

/** Throws `config-invalid` where neither file nor flags tell how to sample, and `weights-mismatch`. */
export async function openLucidModel(engine: Engine, file: LucidFile, flags: LucidFlags): Promise<LucidModel> {
  const { config } = inferLucidUNet(file.unet.entries);
  const { source } = canonicalWeights(file.unet, config);
  assertNetworksMatch([{ config, weights: source }]);
  const process = await processOf(file, flags, config);
  const program = await engine.compile(traceLucidUNet(config, {}, config.self_condition), source);
  return {
    label: file.unet.label,
    channels: config.channels,
    unit: 2 ** (config.dim_mults.length - 1),
    process,
    isNormalized: flags.auto_normalize,
    async network(x, time, before, signal) {
      const guess = before ?? { ...x, data: new Float32Array(x.data.length) };
      const made = await program.run(
        {
          x,
          timesteps: float32([time.length], [...time]),
          ...(config.self_condition ? { x_self_cond: guess } : {}),
        },
        signal ? { signal } : {},
      );
      return expectDType(made['out'] as Tensor, 'float32');
    },
    [Symbol.asyncDispose]: () => program.dispose(),
  };
}
