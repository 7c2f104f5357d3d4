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

/**
 * Numbers of the step are rounded to float32 as in the originals, where guidance and the last steps turn their last digits into visible
 * differences; tensors are combined once, in float64.
 */
const f = Math.fround;
const exp = (value: number) => f(Math.exp(value));

interface Transition {
  readonly ratio: number;
  readonly gain: number;
  readonly hh: number;
  readonly deviation: number;
}

export function transition(algorithm: DpmAlgorithm, from: SolverTime, to: SolverTime): Transition {
  const h = f(halfLogSnr(to) - halfLogSnr(from));
  switch (algorithm) {
    case 'dpmsolver++':
      return { ratio: f(to.sigma / from.sigma), gain: to.alpha, hh: -h, deviation: 0 };
    case 'dpmsolver':
      return { ratio: f(to.alpha / from.alpha), gain: to.sigma, hh: h, deviation: 0 };
    case 'sde-dpmsolver++':
      return {
        ratio: f(f(to.sigma / from.sigma) * exp(-h)),
        gain: to.alpha,
        hh: -2 * h,
        deviation: f(to.sigma * f(Math.sqrt(f(1 - exp(-2 * h))))),
      };
    case 'sde-dpmsolver':
      return {
        ratio: f(to.alpha / from.alpha),
        gain: f(2 * to.sigma),
        hh: h,
        deviation: f(to.sigma * f(Math.sqrt(f(exp(2 * h) - 1)))),
      };
  }
}

/** [c_0, c_1, c_2]: what m, D_1 and D_2 are multiplied by (times -gain). */
function weights(
  { algorithm, solverType }: DpmStepForm,
  hh: number,
  order: number,
  multistep: boolean,
): readonly [number, number, number] {
  const phi1 = f(exp(hh) - 1);
  const phi2 = f(f(phi1 / hh) - 1);
  const phi3 = f(f(f(phi1 - hh) / f(hh * hh)) - 0.5);
  if (order === 1) return [phi1, 0, 0];
  if (order === 2) return [phi1, solverType === 'midpoint' ? 0.5 * phi1 : phi2, 0];
  // diffusers' third order of the SDE form has this last term, which is not phi3.
  const last = algorithm === 'sde-dpmsolver++' ? phi3 + 1 : phi3;
  return [phi1, phi2, multistep || solverType === 'heun' ? last : 0];
}

/** Weights of the outputs m_0, m_1 and m_2 in a finite difference of them. */
type Difference = readonly [number, number, number];

function combine(p: number, a: Difference, q: number, b: Difference): Difference {
  return [p * a[0] + q * b[0], p * a[1] + q * b[1], p * a[2] + q * b[2]];
}

const none: Difference = [0, 0, 0];

/** ratio x - gain (c_0 m_0 + c_1 D_1 + c_2 D_2) + deviation noise. */
function finish(
  x: Latent,
  { ratio, gain, deviation }: Transition,
  c: Difference,
  outputs: readonly (Latent | undefined)[],
  d1: Difference,
  d2: Difference,
  noise?: Latent,
): Latent {
  const scaled = c.map((weight) => f(gain * weight)) as [number, number, number];
  const whole = combine(1, combine(1, [scaled[0], 0, 0], scaled[1], d1), scaled[2], d2);
  const terms: Term[] = [];
  for (const [i, output] of outputs.entries())
    if (output && whole[i] !== 0) terms.push([-(whole[i] as number), output]);
  if (noise && deviation > 0) terms.push([deviation, noise]);
  return linearCombination([ratio, x], ...terms);
}

/**
 * Multistep: from the newest evaluation's time to `to`, by the `order` newest evaluations (the newest first). x is at the newest's time.
 */
export function multistepDpm(
  form: DpmStepForm,
  x: Latent,
  evaluations: readonly Evaluation[],
  to: SolverTime,
  order: number,
  noise?: Latent,
): Latent {
  const [e0, e1, e2] = evaluations as [Evaluation, Evaluation | undefined, Evaluation | undefined];
  const step = transition(form.algorithm, e0.time, to);
  const outputs = [e0.output, e1?.output, e2?.output];
  if (order === 1 || !e1) return finish(x, step, weights(form, step.hh, 1, true), outputs, none, none, noise);
  const h = f(halfLogSnr(to) - halfLogSnr(e0.time));
  const r0 = f(f(halfLogSnr(e0.time) - halfLogSnr(e1.time)) / h);
  const d0: Difference = [f(1 / r0), -f(1 / r0), 0];
  if (order === 2 || !e2) return finish(x, step, weights(form, step.hh, 2, true), outputs, d0, none, noise);
  const r1 = f(f(halfLogSnr(e1.time) - halfLogSnr(e2.time)) / h);
  const bend = combine(1, d0, -1, [0, f(1 / r1), -f(1 / r1)]);
  const sum = f(r0 + r1);
  return finish(
    x,
    step,
    weights(form, step.hh, 3, true),
    outputs,
    combine(1, d0, f(r0 / sum), bend),
    combine(f(1 / sum), bend, 0, none),
    noise,
  );
}

/**
 * Singlestep: from the time of the first evaluation to `to`, by that one and up to two at times between (in the order of time).
 * x is at the first one's time.
 */
export function singlestepDpm(
  form: DpmStepForm,
  x: Latent,
  evaluations: readonly Evaluation[],
  to: SolverTime,
  noise?: Latent,
): Latent {
  const [e0, e1, e2] = evaluations as [Evaluation, Evaluation | undefined, Evaluation | undefined];
  const step = transition(form.algorithm, e0.time, to);
  const outputs = [e0.output, e1?.output, e2?.output];
  if (!e1) return finish(x, step, weights(form, step.hh, 1, false), outputs, none, none, noise);
  const start = halfLogSnr(e0.time);
  const h = f(halfLogSnr(to) - start);
  const r1 = f(f(halfLogSnr(e1.time) - start) / h);
  const d1: Difference = [-f(1 / r1), f(1 / r1), 0];
  if (!e2) return finish(x, step, weights(form, step.hh, 2, false), outputs, d1, none, noise);
  const r2 = f(f(halfLogSnr(e2.time) - start) / h);
  const d2: Difference = [-f(1 / r2), 0, f(1 / r2)];
  const c = weights(form, step.hh, 3, false);
  if (form.solverType === 'midpoint') return finish(x, step, c, outputs, d2, none, noise);
  const width = f(r2 - r1);
  return finish(
    x,
    step,
    c,
    outputs,
    combine(r2 / width, d1, -r1 / width, d2),
    combine(2 / width, d2, -2 / width, d1),
    noise,
  );
}
