/**
 * The noise levels of diffusers' schedulers and the timesteps that the network gets with them (their `set_timesteps`).
 *
 * There are two families. The k-diffusion ones (Euler, Heun, LMS, KDPM2) space `n` timesteps, which may lie between whole ones, and end
 * at 0. The solvers (DPM-Solver, UniPC, DEIS) space n + 1 and leave the last one out, and their timesteps are whole.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { NoiseSchedule } from '../noise-schedule.ts';
import { betaQuantile } from '../sigma-schedules/beta-distribution.ts';
import { numpyLinspace, roundHalfToEven } from '../timesteps.ts';
import type { WholeSchedulerConfig } from './scheduler-config.ts';

export interface SigmaTimes {
  /** float32, one more than there are timesteps: the last is where sampling ends. */
  readonly sigmas: Float32Array;
  readonly timesteps: readonly number[];
}

/** numpy.interp of a table at a place that may lie between two entries. */
function between(table: Float32Array, at: number): number {
  const low = Math.min(Math.max(Math.floor(at), 0), table.length - 1);
  const high = Math.min(low + 1, table.length - 1);
  return (table[low] as number) + (at - low) * ((table[high] as number) - (table[low] as number));
}

function karras(max: number, min: number, count: number, rho: number): number[] {
  const [from, to] = [max ** (1 / rho), min ** (1 / rho)];
  return Array.from(numpyLinspace(0, 1, count), (ramp) => (from + ramp * (to - from)) ** rho);
}

/** Sigmas of one of the formulas that the configuration may name, from `max` to `min`; undefined where it names none. */
function formulaSigmas(config: WholeSchedulerConfig, max: number, min: number, count: number): number[] | undefined {
  if (config.use_karras_sigmas) return karras(max, min, count, 7);
  if (config.use_exponential_sigmas) return Array.from(numpyLinspace(Math.log(max), Math.log(min), count), Math.exp);
  if (config.use_beta_sigmas)
    return Array.from(numpyLinspace(0, 1, count), (p) => min + betaQuantile(1 - p, 0.6, 0.6) * (max - min));
  return undefined;
}

/** `steps` timesteps below `last`, descending: spaced evenly; for the solvers one more, without the lowest. */
function spaced(config: WholeSchedulerConfig, steps: number, last: number, solver: boolean): number[] {
  const { timestep_spacing: spacing, num_train_timesteps: trained, steps_offset: offset } = config;
  const count = solver ? steps + 1 : steps;
  switch (spacing) {
    case 'linspace': {
      const all = Array.from(numpyLinspace(0, last - 1, count), solver ? roundHalfToEven : Math.fround).reverse();
      return all.slice(0, steps);
    }
    case 'leading': {
      const stride = Math.floor(last / count);
      return Array.from({ length: count }, (_, i) => (count - 1 - i) * stride + offset).slice(0, steps);
    }
    case 'trailing': {
      const stride = trained / steps;
      return Array.from({ length: Math.ceil(last / stride) }, (_, i) => roundHalfToEven(last - i * stride) - 1);
    }
    default:
      throw new StableDiffusionError(
        'config-invalid',
        `The timestep_spacing ${JSON.stringify(spacing)} is not known; leading, linspace and trailing are.`,
      );
  }
}

/** For Euler, Euler ancestral, Heun, LMS and the two KDPM2. `roundKarras`: KDPM2 rounds the timesteps of Karras's sigmas. */
export function kSigmaTimes(
  config: WholeSchedulerConfig,
  schedule: NoiseSchedule,
  steps: number,
  options: { readonly roundKarras: boolean },
): SigmaTimes {
  let timesteps = spaced(config, steps, config.num_train_timesteps, false);
  let sigmas: number[];
  if (config.interpolation_type === 'log_linear') {
    const [low, high] = [schedule.logSigmas[0], schedule.logSigmas.at(-1)] as [number, number];
    sigmas = Array.from(numpyLinspace(high, low, steps + 1), Math.exp);
  } else sigmas = timesteps.map((t) => between(schedule.sigmas, t));
  const formula = formulaSigmas(
    config,
    config.sigma_max ?? (sigmas[0] as number),
    config.sigma_min ?? (sigmas.at(-1) as number),
    steps,
  );
  if (formula) {
    sigmas = formula;
    timesteps = formula.map((sigma) => schedule.timestepOfSigma(sigma));
    if (config.use_karras_sigmas && options.roundKarras) timesteps = timesteps.map(roundHalfToEven);
  }
  const last = config.final_sigmas_type === 'sigma_min' ? (schedule.sigmas[0] as number) : 0;
  // Log-linear sigmas are one more than the steps already, and end at the lowest level.
  const ended = sigmas.length > steps ? sigmas : [...sigmas, last];
  return { sigmas: Float32Array.from(ended), timesteps: timesteps.map(Math.fround) };
}

/** A solver's last sigma: 0, the schedule's lowest, or a repetition of the formula's last. */
export type SolverEnd = 'zero' | 'sigma_min' | 'repeat';

/** For the DPM-Solvers, UniPC and DEIS. */
export function solverSigmaTimes(
  config: WholeSchedulerConfig,
  schedule: NoiseSchedule,
  steps: number,
  end: SolverEnd,
): SigmaTimes {
  const clip = Number(config.lambda_min_clipped ?? Number.NEGATIVE_INFINITY);
  const clipped = schedule.logSigmas.reduce((count, logSigma) => count + (-logSigma < clip ? 1 : 0), 0);
  const { sigmas: table } = schedule;
  const [min, max] = [table[0], table.at(-1)] as [number, number];
  let timesteps = spaced(config, steps, config.num_train_timesteps - clipped, true);
  let sigmas = timesteps.map((t) => between(table, t));
  const formula = config.use_lu_lambdas
    ? karras(schedule.logSigmas.at(-1) as number, schedule.logSigmas[0] as number, steps, 1).map(Math.exp)
    : formulaSigmas(config, config.sigma_max ?? max, config.sigma_min ?? min, steps);
  if (formula) {
    sigmas = formula;
    const rounds = (config.use_karras_sigmas || config.use_lu_lambdas) && config.beta_schedule !== 'squaredcos_cap_v2';
    timesteps = formula.map((sigma) => (rounds ? roundHalfToEven : Math.trunc)(schedule.timestepOfSigma(sigma)));
  }
  const repeated = formula && end === 'repeat';
  const last = end === 'zero' ? 0 : repeated ? (sigmas.at(-1) as number) : min;
  return { sigmas: Float32Array.from([...sigmas, last]), timesteps };
}

/** For DPMSolverMultistepInverse: from the lowest level up. */
export function inverseSigmaTimes(config: WholeSchedulerConfig, schedule: NoiseSchedule, steps: number): SigmaTimes {
  const trained = config.num_train_timesteps;
  const { timestep_spacing: spacing, steps_offset: offset } = config;
  const { sigmas: table } = schedule;
  let timesteps: number[];
  if (spacing === 'linspace')
    timesteps = Array.from(numpyLinspace(0, trained - 1, steps + 1), roundHalfToEven).slice(0, steps);
  else if (spacing === 'leading')
    timesteps = Array.from({ length: steps }, (_, i) => i * Math.floor(trained / (steps + 1)) + offset);
  else timesteps = spaced(config, steps, trained, true).reverse();
  const formula = formulaSigmas(config, table[0] as number, table.at(-1) as number, steps);
  if (formula)
    timesteps = formula.map((sigma) =>
      (config.use_karras_sigmas ? roundHalfToEven : Math.trunc)(schedule.timestepOfSigma(sigma)),
    );
  const sigmas = formula ?? timesteps.map((t) => between(table, t));
  return {
    sigmas: Float32Array.from([...sigmas, formula ? (sigmas.at(-1) as number) : (table.at(-1) as number)]),
    timesteps,
  };
}
