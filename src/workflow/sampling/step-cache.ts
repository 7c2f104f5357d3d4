/**
 * EasyCache and LazyCache as ComfyUI has them (comfy_extras/nodes_easycache.py; Zhou et al. 2025, arXiv 2507.02860): while the output is
 * expected to change little, the network is not run, and the last difference of output and input is added to the input.
 */

import type { Denoiser, DenoisedParts } from '../../diffusion/denoiser.ts';
import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { CacheSettings, ModelValue } from '../values/model.ts';
import type { ModelSampling } from './model-sampling.ts';

type Latent = Tensor<'float32'>;

/** Every eighth row and column are compared. */
const stride = 8;

function sampled({ shape, data }: Latent): Float32Array {
  const [height = 1, width = 1] = shape.slice(-2);
  const planes = data.length / (height * width);
  const out: number[] = [];
  for (let p = 0; p < planes; p++)
    for (let y = 0; y < height; y += stride)
      for (let x = 0; x < width; x += stride) out.push(data[(p * height + y) * width + x] as number);
  return Float32Array.from(out);
}

const meanOf = (values: Float32Array): number =>
  values.reduce((sum, value) => sum + Math.abs(value), 0) / values.length;
const distance = (a: Float32Array, b: Float32Array): number => meanOf(a.map((value, i) => value - (b[i] as number)));

/** Decides, for one run, which calls are left out. */
class StepCache {
  readonly #threshold: number;
  readonly #first: number;
  readonly #last: number;
  #rate: number | undefined;
  #sum = 0;
  #before: { readonly input: Float32Array; readonly output: Float32Array; readonly size: number } | undefined;
  #layout: string | undefined;

  constructor({ threshold, start, end }: CacheSettings, { percentToSigma }: Pick<ModelSampling, 'percentToSigma'>) {
    this.#threshold = threshold;
    this.#first = percentToSigma(start);
    this.#last = percentToSigma(end);
  }

  isOver(sigma: number): boolean {
    return !(sigma > this.#last);
  }

  hasBegun(sigma: number): boolean {
    return sigma <= this.#first;
  }

  /** Whether the shape is another than before: nothing is known then. The rate becomes 0 as in the original, not unknown. */
  forgets(layout: string): boolean {
    const isOther = this.#layout !== undefined && this.#layout !== layout;
    this.#layout = isOther ? undefined : layout;
    if (!isOther) return false;
    this.#rate = 0;
    this.#sum = 0;
    this.#before = undefined;
    return true;
  }

  /** How much the input changed since the last run, if that is known. */
  change(input: Latent): number | undefined {
    return this.#before && distance(sampled(input), this.#before.input);
  }

  /** Whether so small a change can be left out. */
  leavesOut(change: number | undefined): boolean {
    if (change === undefined || this.#rate === undefined || !this.#before) return false;
    this.#sum += (this.#rate * change) / this.#before.size;
    if (this.#sum < this.#threshold) return true;
    this.#sum = 0;
    return false;
  }

  /** A run: the compared part of its input and output, and the mean size of all that it gave. */
  ran(input: Latent, output: Latent, size: number, change: number | undefined): void {
    const made = sampled(output);
    if (this.#before && change !== undefined) this.#rate = distance(made, this.#before.output) / change;
    this.#before = { input: sampled(input), output: made, size };
  }
}

const sizeOf = ({ data }: Latent): number => meanOf(data);

const sum = (a: Latent, b: Latent, sign: 1 | -1): Latent => ({
  ...a,
  data: a.data.map((value, i) => value + sign * (b.data[i] as number)),
});

/** LazyCache: a denoiser some of whose calls are left out. */
export function lazyDenoiser(denoise: Denoiser, settings: CacheSettings, sampling: ModelSampling): Denoiser {
  const cache = new StepCache(settings, sampling);
  let difference: Latent | undefined;
  let unconditional: Latent | undefined;
  const parts = async (x: Latent, sigma: number, signal?: AbortSignal): Promise<DenoisedParts> => {
    throwIfAborted(signal);
    const run = async (): Promise<DenoisedParts> =>
      (await denoise.parts?.(x, sigma, signal)) ?? { denoised: await denoise(x, sigma, signal), unconditional: x };
    if (cache.isOver(sigma)) return run();
    let change: number | undefined;
    if (cache.hasBegun(sigma)) {
      cache.forgets(x.shape.join());
      change = cache.change(x);
      if (difference && unconditional && cache.leavesOut(change))
        return { denoised: sum(x, difference, 1), unconditional };
    }
    const made = await run();
    cache.ran(x, made.denoised, sizeOf(made.denoised), change);
    difference = sum(made.denoised, x, -1);
    unconditional = made.unconditional;
    return made;
  };
  const whole: Denoiser = async (x, sigma, signal) => (await parts(x, sigma, signal)).denoised;
  return denoise.parts ? Object.assign(whole, { parts }) : whole;
}

interface Call {
  readonly sigma: number;
  /** What runs together, the entry of each part. */
  readonly entries: readonly object[];
  readonly input: Latent;
}

/** EasyCache: calls of the network in one run, whose parts are entries of prompts. */
export class NetworkCache {
  readonly #cache: StepCache;
  readonly #differences = new Map<object, Latent>();
  #first: object | undefined;
  #isSkipping = false;

  /** Throws `invalid-argument` for a network that takes more channels than it gives. */
  constructor(settings: CacheSettings, { label, network, sampling }: ModelValue) {
    const { in_channels: taken, out_channels: given } = network.config;
    if (taken !== given)
      throw new StableDiffusionError(
        'invalid-argument',
        `EasyCache compares what goes into the network with what comes out; ${label} takes ${taken} channels and gives ${given}. Use LazyCache.`,
      );
    this.#cache = new StepCache(settings, sampling);
  }

  /** Before all entries of a level. */
  begin(): void {
    this.#isSkipping = false;
  }

  /** The outputs, from a run of the network or without one. `part` gives one entry's share of a batch. */
  async call(
    { sigma, entries, input }: Call,
    part: (batch: Latent, i: number) => Latent,
    run: () => Promise<Latent>,
  ): Promise<readonly Latent[]> {
    const cut = (batch: Latent): readonly Latent[] => entries.map((_, i) => part(batch, i));
    if (this.#cache.isOver(sigma)) return cut(await run());
    const inputs = cut(input);
    let change: number | undefined;
    if (this.#cache.hasBegun(sigma)) {
      if (this.#cache.forgets(input.shape.slice(1).join())) {
        this.#first = undefined;
        this.#isSkipping = false;
        this.#differences.clear();
      }
      if (this.#isSkipping && this.#knows(entries)) return this.#added(entries, inputs);
      this.#first ??= entries[0];
      const own = inputs[this.#place(entries)];
      change = own && this.#cache.change(own);
      if (own && this.#knows(entries) && this.#cache.leavesOut(change)) {
        this.#isSkipping = true;
        return this.#added(entries, inputs);
      }
    }
    const output = await run();
    const outputs = cut(output);
    for (const [i, entry] of entries.entries())
      this.#differences.set(entry, sum(outputs[i] as Latent, inputs[i] as Latent, -1));
    const at = this.#place(entries);
    if (at >= 0) this.#cache.ran(inputs[at] as Latent, outputs[at] as Latent, sizeOf(output), change);
    return outputs;
  }

  #place(entries: readonly object[]): number {
    return this.#first ? entries.indexOf(this.#first) : -1;
  }

  #knows(entries: readonly object[]): boolean {
    return entries.every((entry) => this.#differences.has(entry));
  }

  /** The original (0.3.64) adds the differences of all parts to each of them. */
  #added(entries: readonly object[], inputs: readonly Latent[]): readonly Latent[] {
    return inputs.map((input) =>
      entries.reduce<Latent>((total, entry) => sum(total, this.#differences.get(entry) as Latent, 1), input),
    );
  }
}
