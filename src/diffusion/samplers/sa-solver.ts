/**
 * SA-Solver: the stochastic Adams predictor-corrector (Xue et al. 2023, arXiv 2309.05019), which adds noise in the middle of the schedule.
 * One model call a step; two in the form that evaluates the corrected latent again (PECE). After ComfyUI's `sample_sa_solver` and
 * `sample_sa_solver_pece`. Reads sNoise (default 1).
 */

import { linearCombination } from '../../tensor/arithmetic.ts';
import type { Latent } from '../denoiser.ts';
import { stableDiffusionSchedule } from '../noise-schedule.ts';
import type { Sampling } from '../sampler.ts';
import { percentToSigma } from '../sigma-schedules/percent-to-sigma.ts';
import { type SigmaSampling, sigmaSampler } from './sigma-sampler.ts';
import { evaluate, sigmaSteps } from './sigma-steps.ts';
import { lagrangePolynomial } from '../lagrange.ts';

export interface SaSolverForm {
  /** Evaluates the corrected latent again. Default false. */
  readonly isPece?: boolean;
  /** 1 to 6, and 0 (no corrector) to 6. Defaults 3 and 4. */
  readonly predictorOrder?: number;
  readonly correctorOrder?: number;
  /** How much noise the step to a level adds, 0 none. Default 1 between the levels of 20 % and 80 % of the trained timesteps of Stable Diffusion. */
  readonly tau?: (sigma: number) => number;
  /** Simpler weights of order 2. Default false. */
  readonly simpleOrder2?: boolean;
}

function standardTau(): (sigma: number) => number {
  const schedule = stableDiffusionSchedule();
  const [low, high] = [percentToSigma(schedule, 0.8), percentToSigma(schedule, 0.2)];
  return (sigma) => (sigma >= low && sigma <= high ? 1 : 0);
}

/** (1 + tau²) times the integrals of exp((1 + tau²)(x - to)) x^p over [from, to], p below `order`, by parts. */
function exponentialIntegrals(from: number, to: number, order: number, tau: number): number[] {
  const speed = 1 + tau ** 2;
  const integrals: number[] = [];
  for (let p = 0; p < order; p++) {
    const ends = to ** p - from ** p * Math.exp(-speed * (to - from));
    integrals.push(p === 0 ? ends : ends - (p / speed) * (integrals[p - 1] as number));
  }
  return integrals;
}

/**
 * Weights of the denoised latents at `nodes`, in log SNR, for the step from `from` to `to` (equations 15 and 18). All are taken from `to`,
 * where the polynomials are small numbers.
 */
function weights(nodes: readonly number[], from: number, to: number, tau: number): number[] {
  const near = nodes.map((node) => node - to);
  const integrals = exponentialIntegrals(from - to, 0, nodes.length, tau);
  return near.map((_, j) => lagrangePolynomial(near, j).reduce((sum, c, p) => sum + c * (integrals[p] as number), 0));
}

/** The weights of two denoised latents, the newer at `from` (predictor) or `to` (corrector), in their simpler form. */
function simpleWeights(
  nodes: readonly number[],
  from: number,
  to: number,
  tau: number,
  isCorrector: boolean,
): number[] {
  const [speed, h] = [1 + tau ** 2, to - from];
  const whole = -Math.expm1(-h * speed);
  if (isCorrector) return [whole - 0.5 * speed * h, 0.5 * speed * h];
  const older = (0.5 * speed * h ** 2) / ((nodes[0] as number) - from);
  return [older, whole - older];
}

/** A form of the solver. */
export function saSolverSampling(form: SaSolverForm = {}): SigmaSampling {
  const { isPece = false, predictorOrder = 3, correctorOrder = 4, simpleOrder2 = false } = form;
  const tauAt = form.tau ?? standardTau();
  const weightsOf = (nodes: readonly number[], from: number, to: number, by: number, isCorrector: boolean): number[] =>
    simpleOrder2 && nodes.length === 2 ? simpleWeights(nodes, from, to, by, isCorrector) : weights(nodes, from, to, by);
  return async function* (denoise, x, sigmas, { noise, sNoise = 1, signal }): Sampling {
    const all = sigmaSteps(sigmas);
    const lambda = (i: number): number => -Math.log(sigmas[i] as number);
    const endsAtZero = sigmas[sigmas.length - 1] === 0;
    let corrected = x;
    let predicted = x;
    let tau = 0;
    let added: Latent | undefined;
    const past: Latent[] = []; // the newest last
    const nodesOf = (i: number, order: number): number[] =>
      Array.from({ length: order }, (_, k) => lambda(i - order + 1 + k));
    const terms = (order: number, factors: readonly number[]) =>
      past.slice(-order).map((latent, k) => [factors[k] as number, latent] as const);
    for (const { step, steps, sigma, next } of all) {
      const i = step - 1;
      let denoised = await evaluate(denoise, predicted, sigma, signal);
      const seen = denoised;
      past.push(denoised);
      if (past.length > Math.max(predictorOrder, correctorOrder)) past.shift();
      const left = endsAtZero ? all.length - i : Number.POSITIVE_INFINITY;
      const skipsCorrector = i === 0 || (next === 0 && !isPece);
      const used = skipsCorrector ? 0 : Math.min(correctorOrder, past.length, left);
      if (used === 0) corrected = predicted;
      else {
        const factors = weightsOf(nodesOf(i, used), lambda(i - 1), lambda(i), tau, true);
        const before = sigmas[i - 1] as number;
        const decay = (sigma / before) * Math.exp(-(tau ** 2) * Math.log(before / sigma));
        const noisy = added && tau > 0 ? [[1, added] as const] : [];
        corrected = linearCombination([decay, corrected], ...terms(used, factors), ...noisy);
        if (isPece) {
          denoised = await evaluate(denoise, corrected, sigma, signal);
          past[past.length - 1] = denoised;
        }
      }
      if (next === 0) predicted = denoised;
      else {
        tau = tauAt(next);
        const order = Math.min(predictorOrder, past.length, left - 1);
        const h = Math.log(sigma / next);
        const factors = weightsOf(nodesOf(i, order), lambda(i), lambda(i + 1), tau, false);
        const decay = (next / sigma) * Math.exp(-(tau ** 2) * h);
        predicted = linearCombination([decay, corrected], ...terms(order, factors));
        added = undefined;
        if (tau > 0 && sNoise > 0) {
          const deviation = next * Math.sqrt(-Math.expm1(-2 * tau ** 2 * h)) * sNoise;
          added = linearCombination([deviation, noise(sigma, next)]);
          predicted = linearCombination([1, predicted], [1, added]);
        }
      }
      yield { step, steps, sigma, latent: predicted, denoised: seen };
    }
    return predicted;
  };
}

export const sampleSaSolver = saSolverSampling();
export const sampleSaSolverPece = saSolverSampling({ isPece: true });

export const saSolver = sigmaSampler({
  name: 'sa-solver',
  title: 'SA-Solver',
  aliases: ['sa_solver', 'sample_sa_solver'],
  usesStepNoise: true,
  sample: sampleSaSolver,
});

export const saSolverPece = sigmaSampler({
  name: 'sa-solver-pece',
  title: 'SA-Solver PECE',
  aliases: ['sa_solver_pece', 'sample_sa_solver_pece'],
  usesStepNoise: true,
  sample: sampleSaSolverPece,
});
