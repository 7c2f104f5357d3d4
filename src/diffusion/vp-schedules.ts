/**
 * Continuous variance-preserving schedules of DPM-Solver's `NoiseScheduleVP`: `linear` (Song et al. 2021, arXiv 2011.13456) and `cosine` (Nichol
 * and Dhariwal 2021), by the logarithm of alpha at t and the t of a lambda = log(alpha / sigma).
 */

import { linspaceFloat32 } from './beta-schedule.ts';
import { type ContinuousTime, halfLogSnr, type SolverTime } from './solver-time.ts';

interface VpSchedule {
  /** The last time. */
  readonly end: number;
  logAlpha(t: number): number;
  /** t of log(alpha). */
  ofLogAlpha(logAlpha: number): number;
}

/** beta(t) = low + t (high - low). */
function linearVp(low: number, high: number): VpSchedule {
  return {
    end: 1,
    logAlpha: (t) => -0.25 * t * t * (high - low) - 0.5 * t * low,
    ofLogAlpha(logAlpha) {
      const rest = -4 * (high - low) * logAlpha;
      return rest / (Math.sqrt(low * low + rest) + low) / (high - low);
    },
  };
}

function cosineVp(offset = 0.008): VpSchedule {
  const cosine = (t: number): number => Math.log(Math.cos((((t + offset) / (1 + offset)) * Math.PI) / 2));
  const first = cosine(0);
  return {
    // Where beta would be above 999.
    end: 0.9946,
    logAlpha: (t) => cosine(t) - first,
    ofLogAlpha: (logAlpha) => (Math.acos(Math.exp(logAlpha + first)) * 2 * (1 + offset)) / Math.PI - offset,
  };
}

export interface VpOptions {
  /** Of `linear`. Defaults 0.1 and 20. */
  readonly betaLow?: number;
  readonly betaHigh?: number;
}

/** The schedule for the solvers. The network gets t itself. */
export function vpTime(
  kind: 'linear' | 'cosine',
  { betaLow = 0.1, betaHigh = 20 }: VpOptions = {},
): ContinuousTime & {
  readonly end: number;
} {
  const schedule = kind === 'linear' ? linearVp(betaLow, betaHigh) : cosineVp();
  const at = (t: number): SolverTime => {
    const logAlpha = schedule.logAlpha(t);
    return {
      timestep: t,
      alpha: Math.exp(logAlpha),
      sigma: Math.sqrt(-Math.expm1(2 * logAlpha)),
    };
  };
  const ofHalfLogSnr = (lambda: number): number =>
    schedule.ofLogAlpha(-0.5 * (Math.max(0, -2 * lambda) + Math.log1p(Math.exp(-Math.abs(2 * lambda)))));
  return {
    end: schedule.end,
    at,
    ofHalfLogSnr,
    spread(spacing, steps, start = schedule.end, end = 1 / 1000) {
      if (spacing === 'time_uniform') return Array.from(linspaceFloat32(start, end, steps + 1));
      if (spacing === 'time_quadratic')
        return Array.from(linspaceFloat32(Math.sqrt(start), Math.sqrt(end), steps + 1), (root) => root * root);
      return Array.from(linspaceFloat32(halfLogSnr(at(start)), halfLogSnr(at(end)), steps + 1), ofHalfLogSnr);
    },
  };
}
