/**
 * Sampling of denoising-diffusion-pytorch's classes from a network: `GaussianDiffusion` (ancestral over all timesteps, else DDIM), also with
 * a learned variance, `ContinuousTimeGaussianDiffusion` and `ElucidatedDiffusion`.
 */

import { throwIfAborted } from '../errors.ts';
import { clamp, linearCombination } from '../tensor/arithmetic.ts';
import { linspaceFloat32 } from './beta-schedule.ts';
import {
  continuousPosterior,
  continuousTimes,
  continuousX0,
  type ContinuousObjective,
  type LogSnr,
} from './continuous-time.ts';
import { elucidatedDefaults, type ElucidatedSettings, sampleElucidated } from './elucidated.ts';
import { gaussianProcess, type MeanType, type Pixels, sampleGaussian } from './gaussian/index.ts';

/** x_t, what is said of the time to each picture, and the guess before for networks that take it → output. */
export type LucidNetwork = (
  x: Pixels,
  time: readonly number[],
  before: Pixels | undefined,
  signal?: AbortSignal,
) => Promise<Pixels>;

export interface LucidRun {
  readonly steps: number;
  /** DDIM: 0 is deterministic. */
  readonly eta: number;
  readonly noise: () => Pixels;
  readonly onStep?: ((step: number, steps: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How a trained network is sampled. */
export interface LucidProcess {
  /** Steps of a run that names no number. */
  readonly steps: number;
  /** The most steps that are possible. */
  readonly maximum: number;
  /** From standard normal noise to pictures in the network's own range. */
  readonly sample: (network: LucidNetwork, start: Pixels, run: LucidRun) => Promise<Pixels>;
}

/** The timesteps of its DDIM: whole parts of a line in float32 from -1 to T - 1, without -1. */
export const lucidDdimTimes = (timesteps: number, steps: number): readonly number[] =>
  Array.from(linspaceFloat32(-1, timesteps - 1, steps + 1), Math.trunc).slice(1);

export interface LucidGaussian {
  readonly betas: Float64Array;
  readonly mean: MeanType;
  readonly learnsVariance: boolean;
}

export function lucidGaussian({ betas, mean, learnsVariance }: LucidGaussian): LucidProcess {
  const { length } = betas;
  return {
    steps: length,
    maximum: length,
    async sample(network, start, { steps, onStep, ...options }) {
      const process = gaussianProcess({
        betas,
        respacing: steps < length ? lucidDdimTimes(length, steps) : '',
        mean,
        variance: learnsVariance ? 'learned_range' : 'fixed_small',
        smallestVariance: 1e-20,
      });
      let before: Pixels | undefined;
      const run = sampleGaussian(process, (x, told, signal) => network(x, told, before, signal), start, {
        ...options,
        method: steps < length ? 'ddim' : 'ddpm',
      });
      for (;;) {
        const next = await run.next();
        if (next.done) return next.value;
        before = next.value.x0;
        onStep?.(next.value.step, next.value.steps);
      }
    },
  };
}

/** 500 steps there. */
export function lucidContinuous(logSnr: LogSnr, objective: ContinuousObjective): LucidProcess {
  return {
    steps: 500,
    maximum: 100_000,
    async sample(network, start, { steps, noise, onStep, signal }) {
      const items = start.shape[0] ?? 1;
      let x = start;
      for (const [i, [from, to]] of continuousTimes(steps).entries()) {
        throwIfAborted(signal);
        const [now, next] = [from, to].map((t) => new Array<number>(items).fill(logSnr(t))) as [number[], number[]];
        const guess = clamp(continuousX0(objective, x, await network(x, now, undefined, signal), now), -1, 1);
        const { mean, variance } = continuousPosterior(guess, x, now, next);
        x = to === 0 ? mean : linearCombination([1, mean], [Math.sqrt(variance.data[0] as number), noise()]);
        onStep?.(i + 1, steps);
      }
      return clamp(x, -1, 1);
    },
  };
}

/** 32 steps there. */
export function lucidElucidated(given: Partial<ElucidatedSettings>, selfCondition: boolean): LucidProcess {
  const settings = { ...elucidatedDefaults, ...given };
  return {
    steps: 32,
    maximum: 10_000,
    sample(network, start, { steps, noise, onStep, signal }) {
      let step = 0;
      // One draw a step.
      const draw = (): Pixels => {
        onStep?.(++step, steps);
        return noise();
      };
      return sampleElucidated(network, start, {
        steps,
        settings,
        selfCondition,
        noise: draw,
        ...(signal ? { signal } : {}),
      });
    },
  };
}
