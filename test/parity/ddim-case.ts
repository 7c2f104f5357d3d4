/** Recorded runs of CompVis's DDIM on a linear network: the network, and runs with options. */

import type { DiffusionModel, Latent } from '../../src/diffusion/denoiser.ts';
import { guide } from '../../src/diffusion/guidance.ts';
import { type NoiseSchedule, noiseScheduleOf } from '../../src/diffusion/noise-schedule.ts';
import { type DdimOptions, sampleDdim } from '../../src/diffusion/samplers/ddim.ts';
import { type DdimStep, ddimSteps, ddimTimesteps } from '../../src/diffusion/timesteps.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import type { LineageCase } from './lineage-case.ts';
import type { Comparison } from './reader.ts';

export interface DdimRun {
  readonly x: Latent;
  readonly states: readonly Latent[];
  readonly guesses: readonly Latent[];
}

export interface DdimCase {
  readonly recorded: LineageCase;
  readonly schedule: NoiseSchedule;
  readonly timesteps: readonly number[];
  readonly steps: readonly DdimStep[];
  /** The network with this guidance. */
  readonly guidedBy: (scale: number) => DiffusionModel;
  /** Without a model: the network on the condition alone; without a start: the recorded noise. */
  readonly run: (
    steps: readonly DdimStep[],
    options?: DdimOptions,
    model?: DiffusionModel,
    start?: Latent,
  ) => Promise<DdimRun>;
}

export async function ddimCase(recorded: LineageCase): Promise<DdimCase> {
  const { T, linear_start, linear_end, steps: count } = recorded.settings;
  const schedule = noiseScheduleOf({ timesteps: T, linearStart: linear_start, linearEnd: linear_end });
  // "cond[b,o] (0.5 + t / T)"
  const offset = Number(/\((\S+) \+ t \/ T\)/.exec(recorded.row.notes.join('\n'))?.[1]);
  const network = linearNetwork(await recorded.weights().read('w'), T, offset);
  const [cond, uncond] = [recorded.tensor('cond'), recorded.tensor('uncond')];
  const plain: DiffusionModel = { schedule, parameterization: 'eps', predict: async (x, t) => network(x, t, cond) };
  const timesteps = ddimTimesteps('uniform', count, T);
  return {
    recorded,
    schedule,
    timesteps,
    steps: ddimSteps(schedule, timesteps),
    guidedBy: (scale) => ({
      ...plain,
      predict: async (x, t) => guide(network(x, t, uncond), network(x, t, cond), scale),
    }),
    run: (own, options = {}, model = plain, start = recorded.input('x_T')) =>
      runDdim(recorded, own, options, model, start),
  };
}

/** Mixes the channels, and adds the condition, which grows with the timestep from this offset on. */
const linearNetwork =
  (w: Tensor, T: number, offset: number) =>
  (x: Latent, t: number, condition: Tensor): Latent => {
    const [items = 0, c = 0, h = 0, wd = 0] = x.shape;
    const plane = h * wd;
    return {
      ...x,
      data: Float32Array.from(x.data, (_, at) => {
        const [b, o, i] = [Math.floor(at / (c * plane)), Math.floor(at / plane) % c, at % plane];
        let sum = Number(condition.data[(b % items) * c + o]) * (offset + t / T);
        for (let k = 0; k < c; k++) sum += Number(w.data[o * c + k]) * (x.data[(b * c + k) * plane + i] as number);
        return sum;
      }),
    };
  };

async function runDdim(
  recorded: LineageCase,
  steps: readonly DdimStep[],
  options: DdimOptions,
  model: DiffusionModel,
  start: Latent,
): Promise<DdimRun> {
  let draws = 0;
  const states = [start];
  const guesses = [start];
  let x = start;
  for await (const step of sampleDdim(model, start, steps, {
    eta: recorded.settings.eta,
    drawUnused: true,
    noise: () => recorded.noise(draws++),
    ...options,
  })) {
    states.push(step.latent);
    guesses.push(step.denoised);
    x = step.latent;
  }
  return { x, states, guesses };
}

/** What is recorded of a run; of its states those that `keep` names, and the first. */
export function* compareRun(
  recorded: LineageCase,
  name: string,
  { x, states, guesses }: DdimRun,
  keep: (i: number) => boolean = () => true,
): Generator<Comparison> {
  if (recorded.outputs.has(`${name}.x`)) yield recorded.compare(`${name}.x`, x);
  const kept = (list: readonly Latent[]): Tensor => stacked(list.filter((_, i) => i === 0 || keep(i)));
  if (recorded.outputs.has(`${name}.x_inter`)) yield recorded.compare(`${name}.x_inter`, kept(states));
  const guess = recorded.outputs.get(`${name}.pred_x0`);
  if (guess) yield recorded.compare(`${name}.pred_x0`, guess.shape.length === 4 ? guesses.at(-1) : kept(guesses));
}

const stacked = (values: readonly Latent[]): Tensor =>
  float32(
    [values.length, ...(values[0]?.shape ?? [])],
    values.flatMap(({ data }) => [...data]),
  );
