/**
 * RePaint: inpainting with any unconditional model by going back up in noise again and again (Lugmayr et al. 2022, arXiv 2201.09865). As
 * diffusers' RePaintScheduler: one noise for the known and the unknown part of a step.
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { blend, clamp, linearCombination } from '../../tensor/arithmetic.ts';
import type { DiffusionModel, Latent } from '../denoiser.ts';
import { predictionOf } from '../parameterization.ts';

export interface RepaintOptions {
  /** Steps without the jumps. */
  readonly steps: number;
  /** Steps that a jump goes back, and how often each stretch is run. Defaults 10 and 10. */
  readonly jumpLength?: number;
  readonly jumpSamples?: number;
  /** 0 (default) is deterministic, 1 is DDPM's variance. */
  readonly eta?: number;
  /** What is kept, and where: 1 keeps, 0 is painted. */
  readonly known: Latent;
  readonly mask: Latent;
  readonly noise: () => Latent;
  readonly signal?: AbortSignal;
}

export interface RepaintStep {
  /** `undo`: noise was added to go back. */
  readonly kind: 'step' | 'undo';
  readonly timestep: number;
  readonly latent: Latent;
  /** The guess of the clean picture; of an `undo` the one before. */
  readonly denoised: Latent | undefined;
}

/** The timesteps, with the jumps back in them. */
export function repaintTimesteps(
  trainTimesteps: number,
  { steps, jumpLength = 10, jumpSamples = 10 }: Pick<RepaintOptions, 'steps' | 'jumpLength' | 'jumpSamples'>,
): number[] {
  if (!Number.isInteger(steps) || steps < 1 || steps > trainTimesteps || jumpLength < 1 || jumpSamples < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `RePaint takes 1 to ${trainTimesteps} steps, a jump length and samples from 1; ${steps}, ${jumpLength} and ${jumpSamples} were given.`,
    );
  const left = new Map<number, number>();
  for (let at = 0; at < steps - jumpLength; at += jumpLength) left.set(at, jumpSamples - 1);
  const order: number[] = [];
  for (let t = steps; t >= 1; ) {
    order.push(--t);
    const jumps = left.get(t) ?? 0;
    if (jumps === 0) continue;
    left.set(t, jumps - 1);
    for (let i = 0; i < jumpLength; i++) order.push(++t);
  }
  const stride = Math.floor(trainTimesteps / steps);
  return order.map((t) => t * stride);
}

/** Paints what the mask leaves open, from noise. */
export async function* sampleRepaint(
  model: DiffusionModel,
  start: Latent,
  options: RepaintOptions,
): AsyncGenerator<RepaintStep, Latent, void> {
  const { steps, eta = 0, known, mask, noise, signal } = options;
  const { schedule } = model;
  const stride = Math.floor(schedule.trainTimesteps / steps);
  let latent = start;
  let denoised: Latent | undefined;
  let before = Number.POSITIVE_INFINITY;
  for (const timestep of repaintTimesteps(schedule.trainTimesteps, options)) {
    throwIfAborted(signal);
    if (timestep < before) {
      const alphaBar = schedule.alphaBarAt(timestep);
      const previous = timestep - stride < 0 ? 1 : schedule.alphaBarAt(timestep - stride);
      const { x0, eps } = predictionOf(
        model.parameterization,
        await model.predict(latent, timestep, signal),
        latent,
        alphaBar,
      );
      denoised = clamp(x0, -1, 1);
      const draw = noise();
      const deviation =
        timestep > 0 ? eta * Math.sqrt(((1 - previous) / (1 - alphaBar)) * (1 - alphaBar / previous)) : 0;
      const direction = Math.sqrt(Math.max(0, 1 - previous - deviation * deviation));
      const painted = linearCombination([Math.sqrt(previous), denoised], [direction, eps], [deviation, draw]);
      const kept = linearCombination([Math.sqrt(previous), known], [Math.sqrt(1 - previous), draw]);
      latent = blend(mask, kept, painted);
      yield { kind: 'step', timestep, latent, denoised };
    } else {
      for (let i = 0; i < stride; i++) {
        const beta = schedule.betas[before + i] as number;
        latent = linearCombination([Math.sqrt(1 - beta), latent], [Math.sqrt(beta), noise()]);
      }
      yield { kind: 'undo', timestep, latent, denoised };
    }
    before = timestep;
  }
  return latent;
}
