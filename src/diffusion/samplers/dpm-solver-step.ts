/**
 * The step of the DPM-Solver family: Lu et al. 2022, "DPM-Solver" (arXiv 2206.00927, noise prediction) and "DPM-Solver++"
 * (arXiv 2211.01095, data prediction), orders 1 to 3, and their SDE forms as diffusers has them.
 *
 * All of them are x_t = ratio x_s - gain (phi_1 m + c_1 D_1 + c_2 D_2) + deviation noise, where m is the model's output (eps or x_0),
 * D_1 and D_2 its derivatives in half log SNR as finite differences of outputs at other times, phi_1 = e^hh - 1, and hh is the step in
 * half log SNR with the sign and the factor of the form.
 */

import { linearCombination, type Term } from '../../tensor/arithmetic.ts';
import type { Latent } from '../denoiser.ts';
import { halfLogSnr, type SolverTime } from '../solver-time.ts';

/** `dpmsolver` predicts noise, `dpmsolver++` data; the `sde-` forms draw fresh noise at every step. */
export type DpmAlgorithm = 'dpmsolver' | 'dpmsolver++' | 'sde-dpmsolver' | 'sde-dpmsolver++';

/** How order 2 and singlestep order 3 expand the integral: CompVis's `dpm_solver` is `midpoint`, its `taylor` is `heun`. */
export type DpmSolverType = 'midpoint' | 'heun';

export interface DpmStepForm {
  readonly algorithm: DpmAlgorithm;
  readonly solverType: DpmSolverType;
}

/** A model's output at a time. */
export interface Evaluation {
  readonly time: SolverTime;
  readonly output: Latent;
}

export function predictsData(algorithm: DpmAlgorithm): boolean {
  return algorithm === 'dpmsolver++' || algorithm === 'sde-dpmsolver++';
}

interface Transition {
  readonly ratio: number;
  readonly gain: number;
  readonly hh: number;
  readonly deviation: number;
}

export function transition(algorithm: DpmAlgorithm, from: SolverTime, to: SolverTime): Transition {
  const h = halfLogSnr(to) - halfLogSnr(from);
  switch (algorithm) {
    case 'dpmsolver++':
      return { ratio: to.sigma / from.sigma, gain: to.alpha, hh: -h, deviation: 0 };
    case 'dpmsolver':
      return { ratio: to.alpha / from.alpha, gain: to.sigma, hh: h, deviation: 0 };
    case 'sde-dpmsolver++':
      return { ratio: (to.sigma / from.sigma) * Math.exp(-h), gain: to.alpha, hh: -2 * h, deviation: to.sigma * Math.sqrt(-Math.expm1(-2 * h)) };
    case 'sde-dpmsolver':
      return { ratio: to.alpha / from.alpha, gain: 2 * to.sigma, hh: h, deviation: to.sigma * Math.sqrt(Math.expm1(2 * h)) };
  }
}

/** [c_0, c_1, c_2]: what m, D_1 and D_2 are multiplied by (times -gain). */
function weights({ algorithm, solverType }: DpmStepForm, hh: number, order: number, multistep: boolean): readonly [number, number, number] {
  const phi1 = Math.expm1(hh);
  const phi2 = phi1 / hh - 1;
  const phi3 = (phi1 - hh) / (hh * hh) - 0.5;
  if (order === 1) return [phi1, 0, 0];
  if (order === 2) return [phi1, solverType === 'midpoint' ? 0.5 * phi1 : phi2, 0];
  // diffusers' third order of the SDE form has this last term, which is not phi3.
  const last = algorithm === 'sde-dpmsolver++' ? (phi1 - hh) / (hh * hh) + 0.5 : phi3;
  return [phi1, phi2, multistep || solverType === 'heun' ? last : 0];
}

function finish(x: Latent, { ratio, gain, deviation }: Transition, outputs: readonly Term[], noise?: Latent): Latent {
  const terms = outputs.map(([weight, output]): Term => [-gain * weight, output]);
  if (noise && deviation > 0) terms.push([deviation, noise]);
  return linearCombination([ratio, x], ...terms);
}

/**
 * Multistep: from the newest evaluation's time to `to`, by the `order` newest evaluations (the newest first). x is at the newest's time.
 */
export function multistepDpm(form: DpmStepForm, x: Latent, evaluations: readonly Evaluation[], to: SolverTime, order: number, noise?: Latent): Latent {
  const [e0, e1, e2] = evaluations as [Evaluation, Evaluation | undefined, Evaluation | undefined];
  const step = transition(form.algorithm, e0.time, to);
  const h = halfLogSnr(to) - halfLogSnr(e0.time);
  if (order === 1 || !e1) return finish(x, step, [[weights(form, step.hh, 1, true)[0], e0.output]], noise);
  const r0 = (halfLogSnr(e0.time) - halfLogSnr(e1.time)) / h;
  if (order === 2 || !e2) {
    const [c0, c1] = weights(form, step.hh, 2, true);
    return finish(x, step, [[c0 + c1 / r0, e0.output], [-c1 / r0, e1.output]], noise);
  }
  const [c0, c1, c2] = weights(form, step.hh, 3, true);
  const r1 = (halfLogSnr(e1.time) - halfLogSnr(e2.time)) / h;
  // D_1 = d0 + q (d0 - d1), D_2 = (d0 - d1) / (r0 + r1), with d0 = (m0 - m1) / r0 and d1 = (m1 - m2) / r1
  const q = r0 / (r0 + r1);
  const a = c1 * (1 + q) + c2 / (r0 + r1);
  const b = -c1 * q - c2 / (r0 + r1);
  return finish(x, step, [[c0 + a / r0, e0.output], [-a / r0 + b / r1, e1.output], [-b / r1, e2.output]], noise);
}

/**
 * Singlestep: from the time of the first evaluation to `to`, by that one and up to two at times between (in the order of time).
 * x is at the first one's time.
 */
export function singlestepDpm(form: DpmStepForm, x: Latent, evaluations: readonly Evaluation[], to: SolverTime, noise?: Latent): Latent {
  const [e0, e1, e2] = evaluations as [Evaluation, Evaluation | undefined, Evaluation | undefined];
  const step = transition(form.algorithm, e0.time, to);
  const start = halfLogSnr(e0.time);
  const h = halfLogSnr(to) - start;
  if (!e1) return finish(x, step, [[weights(form, step.hh, 1, false)[0], e0.output]], noise);
  const r1 = (halfLogSnr(e1.time) - start) / h;
  if (!e2) {
    const [c0, c1] = weights(form, step.hh, 2, false);
    return finish(x, step, [[c0 - c1 / r1, e0.output], [c1 / r1, e1.output]], noise);
  }
  const [c0, c1, c2] = weights(form, step.hh, 3, false);
  const r2 = (halfLogSnr(e2.time) - start) / h;
  // d1 = (m1 - m0) / r1, d2 = (m2 - m0) / r2; midpoint: D_1 = d2; heun: D_1 = (r2 d1 - r1 d2) / (r2 - r1), D_2 = 2 (d2 - d1) / (r2 - r1)
  const heun = form.solverType === 'heun';
  const a = heun ? (c1 * r2 - 2 * c2) / (r2 - r1) : 0;
  const b = heun ? (-c1 * r1 + 2 * c2) / (r2 - r1) : c1;
  return finish(x, step, [[c0 - a / r1 - b / r2, e0.output], [a / r1, e1.output], [b / r2, e2.output]], noise);
}
