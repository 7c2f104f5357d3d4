/** DPM_Solver of CompVis: its four methods over discrete and continuous schedules, thresholding, guidance by a classifier, with an analytic model. */

import type { Latent } from '../../../src/diffusion/denoiser.ts';
import { noiseSchedule } from '../../../src/diffusion/noise-schedule.ts';
import type { Parameterization } from '../../../src/diffusion/objective.ts';
import { predictionAt } from '../../../src/diffusion/parameterization.ts';
import { adaptivePair, runDpmSolver } from '../../../src/diffusion/samplers/dpm-solver-run.ts';
import {
  type ContinuousTime,
  continuousTime,
  type Evaluate,
  guidedEvaluation,
  halfLogSnr,
  type SolverTime,
} from '../../../src/diffusion/solver-time.ts';
import { vpTime } from '../../../src/diffusion/vp-schedules.ts';
import { float32 } from '../../../src/tensor/tensor.ts';
import { stack } from '../analytic-model.ts';
import { type LineageCase, lineageCase, type Loose } from '../lineage-case.ts';
import type { Comparison, Reader } from '../reader.ts';

const kinds: Readonly<Record<string, Parameterization>> = { noise: 'eps', x_start: 'x0', v: 'v' };
const solverTypes = { dpm_solver: 'midpoint', taylor: 'heun' } as const;

interface Gaussian {
  readonly means: readonly number[];
  readonly deviation: number;
  readonly strength: number;
}

/** The numbers of the analytic model and of the classifier, which the notes state. */
function gaussianOf({ row }: LineageCase): Gaussian {
  const notes = row.notes.join(' ');
  const [, deviation, means] = /N\(m_channel, ([\d.]+)\^2\), m = \[([^\]]*)\]/.exec(notes) ?? [];
  const [, strength] = /= (-?[\d.]+) sum\(\(x_b - c_b\)\^2\)/.exec(notes) ?? [];
  if (!deviation || !means || !strength) throw new Error('the notes do not state the model');
  return { means: means.split(',').map(Number), deviation: Number(deviation), strength: Number(strength) };
}

function timesOf(recorded: LineageCase): Readonly<Record<string, ContinuousTime>> {
  return {
    discrete: continuousTime(noiseSchedule(recorded.input('alphas_cumprod').data)),
    linear: vpTime('linear'),
    cosine: vpTime('cosine'),
  };
}

interface Calls {
  readonly evaluate: Evaluate;
  readonly t: number[];
  readonly x: Latent[];
}

/** The wrapped model of a run, which notes its calls. */
function wrapped(recorded: LineageCase, wrapper: Loose): Calls {
  const { means, deviation, strength } = gaussianOf(recorded);
  const kind = kinds[wrapper.model_type ?? 'noise'] as Parameterization;
  const t: number[] = [];
  const x: Latent[] = [];
  const plain: Evaluate = async (state, { timestep, alpha, sigma }) => {
    t.push(timestep);
    x.push(state);
    const plane = (state.shape[2] ?? 1) * (state.shape[3] ?? 1);
    const v = alpha * alpha * deviation * deviation + sigma * sigma;
    const output = state.data.map((value, i) => {
      const mean = means[Math.floor(i / plane) % means.length] as number;
      const d = value - alpha * mean;
      const [eps, x0] = [(sigma * d) / v, mean + (alpha * deviation * deviation * d) / v];
      return { eps, x0, v: alpha * eps - sigma * x0, flow: eps - x0 }[kind];
    });
    return predictionAt(kind, { ...state, data: output }, state, alpha, sigma);
  };
  if (wrapper.guidance_type !== 'classifier') return { evaluate: plain, t, x };
  const condition = recorded.input('condition').data;
  const gradient = async (state: Latent, told: number): Promise<Latent> => {
    const time = told > 1 ? told / 1000 : told;
    const size = state.data.length / (state.shape[0] ?? 1);
    return {
      ...state,
      data: state.data.map(
        (value, i) =>
          (wrapper.guidance_scale ?? 1) *
          2 *
          strength *
          (value - (condition[Math.floor(i / size)] as number)) *
          (1 + time),
      ),
    };
  };
  return { evaluate: guidedEvaluation(plain, gradient), t, x };
}

async function* runOf(recorded: LineageCase, name: string, time: ContinuousTime): AsyncIterable<Comparison> {
  const { sample, solver, wrapper } = recorded.settings[name];
  const calls = wrapped(recorded, wrapper);
  const sampling = runDpmSolver(calls.evaluate, () => recorded.input('x'), time, {
    // The defaults of the original's constructor and of `sample`.
    algorithm: solver.predict_x0 ? 'dpmsolver++' : 'dpmsolver',
    method: sample.method ?? 'singlestep',
    steps: sample.steps ?? 20,
    order: sample.order ?? 3,
    spacing: sample.skip_type ?? 'time_uniform',
    solverType: solverTypes[(sample.solver_type ?? 'dpm_solver') as keyof typeof solverTypes],
    lowerOrderFinal: sample.lower_order_final ?? true,
    thresholdAt: solver.thresholding ? (solver.max_val ?? 1) : undefined,
    denoiseToZero: sample.denoise_to_zero ?? false,
    start: sample.t_start,
    end: sample.t_end,
    atol: sample.atol,
    rtol: sample.rtol,
  });
  let next = await sampling.next();
  while (!next.done) next = await sampling.next();
  yield recorded.compare(`${name}.x`, next.value);
  for (const [output, values] of [
    [`${name}.calls.t`, (count: number) => float32([count], calls.t.slice(0, count))],
    [`${name}.calls.x`, (count: number) => stack(calls.x.slice(0, count))],
  ] as const) {
    const want = recorded.outputs.get(output);
    if (want) yield recorded.compare(output, values(want.shape[0] ?? 0));
  }
}

/** One step of the order-3 adaptive pair: from t = 0.7 over 0.8 in half log SNR, as the notes say. */
async function* pairOf(recorded: LineageCase, schedule: string, time: ContinuousTime): AsyncIterable<Comparison> {
  const [, start, width] = /from t = ([\d.]+) over an h of ([\d.]+)/.exec(recorded.row.notes.join(' ')) ?? [];
  for (const [type, solverType] of Object.entries(solverTypes)) {
    const name = `${schedule}.step3.${type}`;
    if (!recorded.outputs.has(`${name}.t`)) continue;
    const from: SolverTime = time.at(Number(start));
    const t = time.ofHalfLogSnr(Math.fround(halfLogSnr(from) + Number(width)));
    const x = recorded.input('x');
    yield recorded.compare(`${name}.t`, float32([x.shape[0] ?? 1], new Array(x.shape[0] ?? 1).fill(t)));
    const { low, high } = await adaptivePair(wrapped(recorded, {}).evaluate, time, x, from, time.at(t), {
      form: { algorithm: 'dpmsolver', solverType },
      order: 3,
    });
    yield recorded.compare(`${name}.lower`, low);
    yield recorded.compare(`${name}.higher`, high);
  }
}

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => /^DPM_Solver:/.test(String(row['exercises'])),
  async *compare(raw) {
    const recorded = lineageCase(raw);
    const times = timesOf(recorded);
    for (const name of Object.keys(recorded.settings))
      yield* runOf(recorded, name, times[recorded.settings[name].schedule] as ContinuousTime);
    for (const [schedule, time] of Object.entries(times)) yield* pairOf(recorded, schedule, time);
  },
};
