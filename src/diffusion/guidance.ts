/**
 * Conditions and classifier-free guidance: from a network call to the guided `DiffusionModel` that samplers work on.
 *
 * Ho and Salimans 2022, "Classifier-Free Diffusion Guidance" (arXiv 2207.12598): out = u + scale (c - u). As CompVis's samplers, the two
 * passes are one batch [unconditional, conditional]. Optionally with the rescaling of Lin et al. 2023 (arXiv 2305.08891, section 3.4),
 * and with the second scale of InstructPix2Pix (Brooks et al. 2023, arXiv 2211.09800, equation 3).
 */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { concatenate, joinBatches, takeBatch } from '../tensor/arithmetic.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { DiffusionModel, Latent } from './denoiser.ts';
import type { NoiseSchedule } from './noise-schedule.ts';
import type { Parameterization } from './parameterization.ts';

/**
 * What a network is told besides x and the timestep, by the parts of LDM's `conditioning_key`: `crossattn`, `concat`, `adm`, and
 * `hybrid`, which is concat and crossattn. The first axis of each is the batch; where it is 1 it serves every image.
 */
export interface Condition {
  /** float32 [n, tokens, width]: the text encoder's output, for cross-attention. */
  readonly crossattn?: Tensor<'float32'> | undefined;
  /** float32 [n, channels, h, w]: put behind x's channels (mask and masked image of 9-channel inpainting, the image of InstructPix2Pix). */
  readonly concat?: Latent | undefined;
  /** int64 [n] class labels, or float32 [n, width] vectors. */
  readonly adm?: Tensor<'int64'> | Tensor<'float32'> | undefined;
}

/** The inputs of the U-Net by the names of its graph; `x` has the concatenated channels in it, `timesteps` is float32 [n]. */
export interface NetworkInputs {
  readonly x: Latent;
  readonly timesteps: Tensor<'float32'>;
  readonly context?: Tensor<'float32'> | undefined;
  readonly y?: Tensor<'int64'> | Tensor<'float32'> | undefined;
}

/** One run of the U-Net: float32 [n, channels, h, w], what the network predicts. */
export type Network = (inputs: NetworkInputs, signal?: AbortSignal) => Promise<Latent>;

export interface GuidedModelOptions {
  readonly network: Network;
  readonly schedule: NoiseSchedule;
  readonly parameterization: Parameterization;
  readonly condition: Condition;
  /** The condition of the empty or negative prompt; without it there is no guidance. */
  readonly unconditional?: Condition | undefined;
  /** Guidance scale; at 1 (default) only the conditional pass is run. */
  readonly scale?: number | undefined;
  /** InstructPix2Pix: the scale of the image, with `imageUnconditional` (no text, no image) as the third condition; `unconditional` then has the image and no text. */
  readonly imageScale?: number | undefined;
  readonly imageUnconditional?: Condition | undefined;
  /** Share, 0 (default) to 1, by which the guided output's standard deviation is brought back to the conditional one's. */
  readonly rescale?: number | undefined;
}

/** `count` copies of a tensor with one batch item, or the tensor itself. */
function repeatBatch<T extends Tensor>(value: T, count: number, what: string): T {
  const items = value.shape[0] ?? 1;
  if (items === count) return value;
  if (items === 1) return joinBatches(new Array<T>(count).fill(value));
  throw new StableDiffusionError(
    'shape-mismatch',
    `The ${what} condition is for ${items} images, and there are ${count}; it must be for as many, or one for all.`,
  );
}

function inputsOf(x: Latent, timestep: number, { crossattn, concat, adm }: Condition): NetworkInputs {
  const count = x.shape[0] as number;
  return {
    x: concat ? concatenate([x, repeatBatch(concat, count, 'concat')], 1) : x,
    timesteps: { dtype: 'float32', shape: [count], data: new Float32Array(count).fill(timestep) },
    ...(crossattn && { context: repeatBatch(crossattn, count, 'crossattn') }),
    ...(adm && { y: repeatBatch<Tensor<'int64'> | Tensor<'float32'>>(adm, count, 'adm') }),
  };
}

/** Whether two runs can be one batch: the same inputs, of the same shapes but for the batch. */
function fitTogether(a: NetworkInputs, b: NetworkInputs): boolean {
  const same = (p: Tensor | undefined, q: Tensor | undefined) =>
    p && q ? p.dtype === q.dtype && p.shape.slice(1).join() === q.shape.slice(1).join() : p === q;
  return same(a.x, b.x) && same(a.context, b.context) && same(a.y, b.y);
}

/** Runs the network on several inputs, as one batch in their order where that can be. */
async function runAll(
  network: Network,
  all: readonly NetworkInputs[],
  signal: AbortSignal | undefined,
): Promise<Latent[]> {
  const [first] = all as [NetworkInputs];
  if (!all.every((inputs) => fitTogether(first, inputs))) {
    const outputs: Latent[] = [];
    for (const inputs of all) {
      throwIfAborted(signal);
      outputs.push(await network(inputs, signal));
    }
    return outputs;
  }
  const joined: NetworkInputs = {
    x: joinBatches(all.map((inputs) => inputs.x)),
    timesteps: joinBatches(all.map((inputs) => inputs.timesteps)),
    ...(first.context && { context: joinBatches(all.map((inputs) => inputs.context as Tensor<'float32'>)) }),
    ...(first.y && { y: joinBatches(all.map((inputs) => inputs.y as Tensor<'int64'> | Tensor<'float32'>)) }),
  };
  const output = await network(joined, signal);
  const items = first.x.shape[0] as number;
  return all.map((_, i) => takeBatch(output, i * items, (i + 1) * items));
}

/** u + scale (c - u), rounded at every operation as in float32 PyTorch. */
export function guide(unconditional: Latent, conditional: Latent, scale: number): Latent {
  const u = unconditional.data;
  const c = conditional.data;
  const factor = Math.fround(scale);
  const data = new Float32Array(c.length);
  for (let i = 0; i < c.length; i++)
    data[i] = (u[i] as number) + Math.fround(factor * Math.fround((c[i] as number) - (u[i] as number)));
  return { ...conditional, data };
}

/** u + text (c - image) + picture (image - u), of InstructPix2Pix. */
export function guideByImage(
  unconditional: Latent,
  image: Latent,
  conditional: Latent,
  textScale: number,
  imageScale: number,
): Latent {
  const data = new Float32Array(conditional.data.length);
  for (let i = 0; i < data.length; i++) {
    const [u, m, c] = [unconditional.data[i], image.data[i], conditional.data[i]] as [number, number, number];
    data[i] =
      Math.fround(u + Math.fround(textScale * Math.fround(c - m))) + Math.fround(imageScale * Math.fround(m - u));
  }
  return { ...conditional, data };
}

/** Standard deviation (with n - 1, as torch.std). */
function deviation(values: Float32Array): number {
  let mean = 0;
  for (const value of values) mean += value;
  mean /= values.length;
  let sum = 0;
  for (const value of values) sum += (value - mean) ** 2;
  return Math.sqrt(sum / (values.length - 1));
}

/** Brings each item's standard deviation back towards the conditional output's, by the share `amount`. */
export function rescaleGuided(guided: Latent, conditional: Latent, amount: number): Latent {
  const size = guided.data.length / (guided.shape[0] ?? 1);
  const data = guided.data.slice();
  for (let start = 0; start < data.length; start += size) {
    const own = deviation(guided.data.subarray(start, start + size));
    if (own === 0) continue;
    const factor = amount * (deviation(conditional.data.subarray(start, start + size)) / own) + (1 - amount);
    for (let i = start; i < start + size; i++) data[i] = (data[i] as number) * factor;
  }
  return { ...guided, data };
}

/** The guided model. Throws `invalid-argument` for a scale that is not a number, `shape-mismatch` at a call whose batch a condition does not fit. */
export function guidedModel(options: GuidedModelOptions): DiffusionModel {
  const {
    network,
    schedule,
    parameterization,
    condition,
    unconditional,
    scale = 1,
    imageScale,
    imageUnconditional,
    rescale = 0,
  } = options;
  for (const [name, value] of [
    ['guidance scale', scale],
    ['image guidance scale', imageScale ?? 1],
    ['guidance rescale', rescale],
  ] as const) {
    if (!Number.isFinite(value))
      throw new StableDiffusionError('invalid-argument', `The ${name} is ${value}; it must be a finite number.`);
  }
  return {
    schedule,
    parameterization,
    async predict(x, timestep, signal) {
      throwIfAborted(signal);
      const conditional = inputsOf(x, timestep, condition);
      if (imageScale !== undefined && imageUnconditional && unconditional) {
        // The order of the original: text and image, image alone, neither.
        const all = [conditional, inputsOf(x, timestep, unconditional), inputsOf(x, timestep, imageUnconditional)];
        const [c, m, u] = (await runAll(network, all, signal)) as [Latent, Latent, Latent];
        const guided = guideByImage(u, m, c, scale, imageScale);
        return rescale > 0 ? rescaleGuided(guided, c, rescale) : guided;
      }
      if (!unconditional || scale === 1) return network(conditional, signal);
      const [u, c] = (await runAll(network, [inputsOf(x, timestep, unconditional), conditional], signal)) as [
        Latent,
        Latent,
      ];
      const guided = guide(u, c, scale);
      return rescale > 0 ? rescaleGuided(guided, c, rescale) : guided;
    },
  };
}
