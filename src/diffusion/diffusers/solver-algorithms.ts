/** diffusers' schedulers that are exponential integrators (DPM-Solver, UniPC, DEIS): from a configuration to the algorithm in `samplers/`. */

import type { Sampling } from '../sampler.ts';
import { sampleDeis } from '../samplers/deis.ts';
import { startAtTime } from '../samplers/dpm-solver.ts';
import { type DpmSolverOptions, sampleDpmMultistep, sampleDpmSinglestep } from '../samplers/dpm-solver-steps.ts';
import { sampleUniPc } from '../samplers/unipc.ts';
import { evaluateModel, type SolverTime, timeOfSigma } from '../solver-time.ts';
import type { WholeSchedulerConfig } from './scheduler-config.ts';
import { inverseSigmaTimes, type SigmaTimes, type SolverEnd, solverSigmaTimes } from './sigma-times.ts';
import { type Job, revision } from './job.ts';

function solverTimes({ sigmas, timesteps }: SigmaTimes): SolverTime[] {
  return Array.from(sigmas, (sigma, i) => timeOfSigma(sigma, timesteps[i] ?? 0));
}

function solverStart(job: Job, end: SolverEnd) {
  const { config, model, request } = job;
  const times = solverTimes(solverSigmaTimes(config, model.schedule, request.steps, end)).slice(request.startStep ?? 0);
  const evaluate = evaluateModel(model, {
    reviseX0: config.thresholding ? revision(job) : undefined,
    signal: request.signal,
  });
  return { times, evaluate, x: startAtTime(request, times[0] as SolverTime) };
}

function dpmOptions({ config, request, noise }: Job): DpmSolverOptions {
  const algorithm =
    config.algorithm_type === undefined || config.algorithm_type === 'deis' ? 'dpmsolver++' : config.algorithm_type;
  return {
    algorithm,
    order: config.solver_order,
    solverType: config.solver_type === 'heun' ? 'heun' : 'midpoint',
    lowerOrderFinal: config.lower_order_final,
    firstOrderFinal: (config.euler_at_final ?? false) || config.final_sigmas_type === 'zero',
    noise,
    signal: request.signal,
  };
}

export function dpmMultistep(job: Job): Sampling {
  const { times, evaluate, x } = solverStart(job, job.config.final_sigmas_type);
  return sampleDpmMultistep(evaluate, x, times, dpmOptions(job));
}

export function dpmMultistepInverse(job: Job): Sampling {
  const { config, model, request } = job;
  const times = solverTimes(inverseSigmaTimes(config, model.schedule, request.steps));
  const evaluate = evaluateModel(model, {
    reviseX0: config.thresholding ? revision(job) : undefined,
    signal: request.signal,
  });
  return sampleDpmMultistep(evaluate, request.initial ?? request.startNoise, times, {
    ...dpmOptions(job),
    firstOrderFinal: config.euler_at_final ?? false,
  });
}

/** Calls in each block, as get_order_list has them. */
function singlestepBlocks(config: WholeSchedulerConfig, steps: number): number[] {
  const order = config.solver_order;
  const zero = config.final_sigmas_type === 'zero';
  const lower = config.lower_order_final || zero || steps % order !== 0;
  const whole = Math.floor(steps / order);
  const rest = steps % order;
  let blocks: number[] = new Array(whole).fill(order);
  if (rest > 0) blocks.push(rest);
  else if (lower && order > 1) blocks = [...blocks.slice(0, -1), ...(order === 3 ? [2, 1] : [1, 1])];
  // A last step to zero noise is of order 1.
  const last = blocks.at(-1) as number;
  if (zero && last > 1) blocks = [...blocks.slice(0, -1), last - 1, 1];
  return blocks;
}

export function dpmSinglestep(job: Job): Sampling {
  const { config, request } = job;
  const { times, evaluate, x } = solverStart(
    { ...job, config: { ...config, timestep_spacing: 'linspace' } },
    config.final_sigmas_type,
  );
  return sampleDpmSinglestep(
    evaluate,
    x,
    times,
    singlestepBlocks(config, request.steps - (request.startStep ?? 0)),
    dpmOptions(job),
  );
}

export function uniPc(job: Job): Sampling {
  const { config, request } = job;
  const { times, evaluate, x } = solverStart(job, config.final_sigmas_type === 'zero' ? 'zero' : 'repeat');
  return sampleUniPc(evaluate, x, times, {
    order: config.solver_order,
    variant: config.solver_type === 'bh1' ? 'bh1' : 'bh2',
    predictX0: config.predict_x0 ?? true,
    lowerOrderFinal: config.lower_order_final,
    uncorrectedSteps: config.disable_corrector ?? [],
    signal: request.signal,
  });
}

export function deis(job: Job): Sampling {
  const { times, evaluate, x } = solverStart(job, 'repeat');
  return sampleDeis(evaluate, x, times, {
    order: job.config.solver_order,
    lowerOrderFinal: job.config.lower_order_final,
    signal: job.request.signal,
  });
}
