/**
 * The denoised predictions of several prompts at one level: each entry predicts on its part of the latent, and the parts are averaged by
 * their weights. Entries whose inputs have one layout run as one batch. After ComfyUI's `calc_cond_batch` (samplers.py).
 */

import type { UNetConfig } from '../../config/network-config.ts';
import { throwIfAborted } from '../../errors.ts';
import { concatenate, scale } from '../../tensor/arithmetic.ts';
import { inputsLayout, joinInputs, type NetworkInputs, takeBatch } from '../../tensor/batches.ts';
import { expectDType, float32, type Tensor } from '../../tensor/tensor.ts';
import { zeroPerImage } from '../../extensions/extension.ts';
import type { DenoiserInputs } from '../../diffusion/guidance.ts';
import type { NamedNetwork } from '../../model/network-set.ts';
import { groundedTask } from '../grounding.ts';
import { hookedNetwork } from '../hooked.ts';
import { sizedNetwork } from '../network-forms.ts';
import type { NetworkPool } from '../network-pool.ts';
import type { ConditioningValue } from '../values/conditioning.ts';
import type { FurtherInputs, ModelValue } from '../values/model.ts';
import { type ControlRun, controlInputs } from './control-inputs.ts';
import { activeHooks } from './hook-strengths.ts';
import { toBatch } from './to-batch.ts';
import type { NetworkCache } from './step-cache.ts';
import { type Area, croppedArea, isActive, type Region, weightsOf } from './regions.ts';
import { cropPlanes } from '../../tensor/crop-planes.ts';

type Latent = Tensor<'float32'>;

export interface PredictOptions {
  readonly model: ModelValue;
  readonly networks: NetworkPool;
  /** Another prompt, ready for the run. */
  readonly regionsFor: (prompt: ConditioningValue) => Promise<readonly Region[]>;
  /** In place of the model's own. */
  readonly network?: NamedNetwork | undefined;
  readonly controls: ControlRun;
  /** Leaves out calls of the network. */
  readonly cache?: NetworkCache | undefined;
  /** Inputs that the run adds to each call. */
  readonly further?: FurtherInputs | undefined;
  /** Inputs of extensions: a number for every image. */
  readonly perImage?: Readonly<Record<string, number>> | undefined;
  /** Sees the further output that the model's patches watch, of the second prompt. */
  readonly watch?: ((watched: Tensor) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Task {
  readonly prompt: number;
  readonly sigma: number;
  /** The same at every level. */
  readonly entry: object;
  readonly area: Area;
  readonly x: Latent;
  readonly network: NamedNetwork;
  readonly inputs: NetworkInputs;
  /** Of each element of the area, [b or 1, h, w]. */
  readonly weights: Latent;
}

async function taskOf(
  options: PredictOptions,
  [x, sigma]: readonly [x: Latent, sigma: number],
  prompt: number,
  region: Region,
  given?: Latent,
): Promise<Task> {
  const { model } = options;
  const [batch = 1, , height = 1, width = 1] = x.shape;
  const area = croppedArea(region, height, width);
  const part = cropPlanes(x, area);
  const { concat, ...others } = region.inputs;
  const seen = scale(part, Math.fround(model.sampling.inputScale(sigma)));
  const withConcat = concat
    ? concatenate([seen, cropPlanes(toBatch(expectDType(concat, 'float32'), batch), area)], 1)
    : seen;
  const plain = hookedNetwork(
    options.network ?? model.network,
    activeHooks(region.hooks ?? [], options.controls.hooks, sigma, model.sampling.percentToSigma),
  );
  const grounded = region.gligen
    ? await groundedTask({ ...options, ...options.controls }, region.gligen, plain, [batch, area.height, area.width])
    : { network: plain, inputs: {} };
  const call = { prompt, sigma, batch, height: area.height, width: area.width };
  const own: DenoiserInputs = {
    ...Object.assign({}, ...(model.patches.promptInputs ?? []).map((inputs) => inputs(call))),
    ...Object.fromEntries(
      Object.entries(others).map(([name, value]) => [name, toBatch(expectDType(value, 'float32', name), batch)]),
    ),
    ...grounded.inputs,
    x: withConcat,
    timesteps: float32([batch], new Float32Array(batch).fill(model.sampling.timestep(sigma))),
  };
  const network = sizedNetwork(grounded.network, area.height, area.width);
  const controlled = await controlInputs(options, region.control, {
    network,
    inputs: own,
    sigma,
    area,
    controlContext: region.controlContext,
  });
  const weights = given ?? weightsOf(region, area, height, width);
  return { prompt, sigma, entry: region.inputs, area, x: part, weights, ...controlled };
}

/** The inputs of tasks that run together, with those that extensions and the run add. */
function callInputs(
  { further, perImage = {} }: PredictOptions,
  network: NamedNetwork,
  joined: NetworkInputs,
): NetworkInputs {
  const { shape } = joined['x'] as Tensor;
  const count = shape[0] ?? 1;
  const filled = Object.entries(perImage).map(([name, value]) => [
    name,
    float32([count], new Float32Array(count).fill(value)),
  ]);
  return {
    ...zeroPerImage(network.extensions ?? [], network.config as UNetConfig, count),
    ...joined,
    ...further?.(network, joined),
    ...Object.fromEntries(filled),
  };
}

/** Runs tasks of one network and layout together. */
async function runTasks(options: PredictOptions, tasks: readonly Task[]): Promise<Latent[]> {
  const outputs: Latent[] = [];
  const { networks, signal, watch, model } = options;
  const { watches } = model.patches;
  const keys = tasks.map(({ inputs }) => inputsLayout(inputs));
  for (const [i, first] of tasks.entries()) {
    if (outputs[i]) continue;
    throwIfAborted(signal);
    const places = tasks.flatMap(({ network }, j) => (network === first.network && keys[j] === keys[i] ? [j] : []));
    const inputs = callInputs(options, first.network, joinInputs(places.map((j) => (tasks[j] as Task).inputs)));
    const count = first.x.shape[0] ?? 1;
    const part = <D extends Tensor>(batch: D, at: number): D => takeBatch(batch, at * count, (at + 1) * count) as D;
    const run = async (): Promise<Latent> => {
      const made = await networks.run(
        first.network,
        { outputs: watches === undefined ? ['out'] : ['out', watches] },
        inputs,
        signal,
      );
      const second = places.findIndex((j) => tasks[j]?.prompt === 1);
      if (watch && watches !== undefined && second >= 0) watch(part(made[watches] as Tensor, second));
      return expectDType(made['out'] as Tensor, 'float32', 'out');
    };
    const call = {
      sigma: first.sigma,
      entries: places.map((j) => (tasks[j] as Task).entry),
      input: expectDType(inputs['x'] as Tensor, 'float32', 'x'),
    };
    const found = options.cache ? await options.cache.call(call, part, run) : undefined;
    const output = found ? undefined : await run();
    for (const [at, j] of places.entries()) outputs[j] = found?.[at] ?? part(output as Latent, at);
  }
  return outputs;
}

/** Sums of weighted predictions and of the weights. */
function accumulate(
  sum: Float32Array,
  weight: Float32Array,
  shape: readonly number[],
  { area, weights }: Task,
  denoised: Latent,
): void {
  const [batch = 1, channels = 1, height = 1, width = 1] = shape;
  const size = area.height * area.width;
  const own = weights.shape[0] ?? 1;
  for (let b = 0; b < batch; b++)
    for (let c = 0; c < channels; c++)
      for (let y = 0; y < area.height; y++)
        for (let x = 0; x < area.width; x++) {
          const from = y * area.width + x;
          const to = ((b * channels + c) * height + area.top + y) * width + area.left + x;
          const factor = weights.data[(b % own) * size + from] as number;
          const value = denoised.data[(b * channels + c) * size + from] as number;
          sum[to] = (sum[to] as number) + Math.fround(value * factor);
          weight[to] = (weight[to] as number) + factor;
        }
}

/** What the entries of a prompt leave of each element, [b, h, w]: 1 without their weights, at least 0. */
function leftWeights(tasks: readonly Task[], [batch = 1, , height = 1, width = 1]: readonly number[]): Latent {
  const data = new Float32Array(batch * height * width).fill(1);
  for (const { area, weights } of tasks) {
    const own = weights.shape[0] ?? 1;
    for (let b = 0; b < batch; b++)
      for (let y = 0; y < area.height; y++)
        for (let x = 0; x < area.width; x++) {
          const to = (b * height + area.top + y) * width + area.left + x;
          const from = ((b % own) * area.height + y) * area.width + x;
          data[to] = (data[to] as number) - (weights.data[from] as number);
        }
  }
  return float32(
    [batch, height, width],
    data.map((value) => Math.max(0, value)),
  );
}

/** Tasks of the entries that hold where no other of their prompt does; none where the others hold everywhere. */
async function defaultTasks(
  options: PredictOptions,
  prompts: readonly (readonly Region[])[],
  [x, sigma]: readonly [x: Latent, sigma: number],
  tasks: readonly Task[],
): Promise<Task[]> {
  const all: Task[] = [];
  for (const [prompt, regions] of prompts.entries()) {
    const own = regions.filter((region) => region.isDefault && isActive(region, sigma));
    if (own.length === 0) continue;
    const left = leftWeights(
      tasks.filter((task) => task.prompt === prompt),
      x.shape,
    );
    if (!left.data.some((value) => value > 0)) continue;
    for (const region of own) all.push(await taskOf(options, [x, sigma], prompt, { ...region, area: undefined }, left));
  }
  return all;
}

/** The denoised prediction of each prompt, in their order; one of no entry, or of none that is active, is 0. */
export async function predictPrompts(
  options: PredictOptions,
  prompts: readonly (readonly Region[])[],
  x: Latent,
  sigma: number,
): Promise<Latent[]> {
  const { hooks } = options.controls;
  options.cache?.begin();
  hooks.first ??= sigma;
  const tasks: Task[] = [];
  // The negative prompt runs first, as in the original.
  for (const [prompt, regions] of [...prompts.entries()].reverse())
    for (const region of regions)
      if (isActive(region, sigma) && !region.isDefault) tasks.push(await taskOf(options, [x, sigma], prompt, region));
  tasks.push(...(await defaultTasks(options, prompts, [x, sigma], tasks)));
  const outputs = await runTasks(options, tasks);
  const sums = prompts.map(() => new Float32Array(x.data.length));
  const weights = prompts.map(() => new Float32Array(x.data.length).fill(1e-37));
  for (const [i, task] of tasks.entries()) {
    const denoised = options.model.sampling.denoised(task.x, outputs[i] as Latent, sigma);
    accumulate(sums[task.prompt] as Float32Array, weights[task.prompt] as Float32Array, x.shape, task, denoised);
  }
  return sums.map((sum, i) => ({
    ...x,
    data: sum.map((value, at) => value / (weights[i]?.[at] as number)),
  }));
}
