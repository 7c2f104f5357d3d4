/**
 * DPM-Solver and DPM-Solver++: Lu et al. 2022 (arXiv 2206.00927, 2211.01095), multistep and singlestep.
 * As the DPM_Solver class of CompVis (ldm/models/diffusion/dpm_solver); diffusers' schedulers of the name are the same over other times.
 */

import { linearCombination } from '../../tensor/arithmetic.ts';
import type { Latent } from '../denoiser.ts';
import { keepPredicted } from '../inpainting.ts';
import type { Sampler, SamplingRequest } from '../sampler.ts';
import {
  continuousTime,
  type Evaluate,
  evaluateModel,
  type SolverSpacing,
  solverSpacings,
  type SolverTime,
} from '../solver-time.ts';
import { runDpmSolver } from './dpm-solver-run.ts';
import { checkRequest } from './request.ts';

/** x at a time: the initial latent plus noise, or the noise alone without one. */
export function startAtTime({ initial, startNoise }: SamplingRequest, { alpha, sigma }: SolverTime): Latent {
  return initial ? linearCombination([alpha, initial], [sigma, startNoise]) : startNoise;
}

/** The evaluation of a request's model, inpainting included. */
export function evaluateRequest(request: SamplingRequest): Evaluate {
  const { model, inpainting, startNoise, signal, quantize } = request;
  return evaluateModel(inpainting ? keepPredicted(model, inpainting, startNoise) : model, {
    signal,
    reviseX0: quantize,
  });
}

/** The algorithm and the form that a request's settings mean. */
function runOptions({ settings = {}, schedule, signal }: SamplingRequest) {
  const { order = 2, predictX0 = true, solverType = 'midpoint', lowerOrderFinal = true } = settings;
  return {
    algorithm: predictX0 ? 'dpmsolver++' : 'dpmsolver',
    spacing: (schedule ?? 'time_uniform') as SolverSpacing,
    order,
    solverType,
    lowerOrderFinal,
    denoiseToZero: settings.denoiseToZero,
    thresholdAt: settings.thresholdAt,
    signal,
  } as const;
}

/**
 * Schedules: `time_uniform` (default), `time_quadratic`, `logSNR`. Settings: `order` (default 2), `method` (`multistep`, default,
 * `singlestep`, or `singlestep_fixed`, whose blocks are all of the same order), `predictX0` (default true: DPM-Solver++), `solverType`,
 * `lowerOrderFinal`, `denoiseToZero`, `thresholdAt`. The defaults are those of CompVis's DPMSolverSampler, which is DPM-Solver++ 2M. The original cannot do order 3 in fewer
 * than 15 steps with `lowerOrderFinal`; this can.
 */
export const dpmSolver: Sampler = {
  name: 'dpm-solver',
  title: 'DPM-Solver',
  aliases: ['dpm_solver', 'DPMSolverSampler', 'dpm-solver++'],
  space: 'timestep',
  spacings: solverSpacings,
  quantizes: true,
  usesStepNoise: false,
  run(request) {
    checkRequest(request, false);
    const { steps, startStep, settings: { method = 'multistep' } = {}, model } = request;
    return runDpmSolver(
      evaluateRequest(request),
      (time) => startAtTime(request, time),
      continuousTime(model.schedule),
      { ...runOptions(request), method, steps, startStep },
    );
  },
};

/** Settings: `order` (2, default, or 3), `predictX0`, `solverType`, `rtol`, `atol`, `hInit`, `denoiseToZero`, `thresholdAt`. The number of steps counts for image-to-image only. */
export const dpmSolverAdaptive: Sampler = {
  name: 'dpm-solver-adaptive',
  title: 'DPM-Solver adaptive',
  aliases: ['dpm_solver_adaptive'],
  space: 'timestep',
  quantizes: true,
  usesStepNoise: false,
  choosesSteps: true,
  run(request) {
    checkRequest(request, false);
    const { steps, startStep = 0, settings: { rtol, atol, hInit } = {}, model } = request;
    const time = continuousTime(model.schedule);
    const start = time.spread('time_uniform', steps)[startStep];
    return runDpmSolver(evaluateRequest(request), (at) => startAtTime(request, at), time, {
      ...runOptions(request),
      method: 'adaptive',
      steps,
      start,
      rtol,
      atol,
      hInit,
    });
  },
};
