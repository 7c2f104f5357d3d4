/**
 * One run of a sampler over given sigmas: start, mask, guidance, algorithm. After ComfyUI's `CFGGuider` and `KSAMPLER` (samplers.py).
 * Latents come and go as the first stage has them.
 */

import { familyOfContext } from '../../checkpoints/model-families.ts';
import type { Denoiser } from '../../diffusion/denoiser.ts';
import { scaledLatent, unscaledLatent } from '../../model/latent-scale.ts';
import { brownianTreeNoise } from '../../random/brownian-tree.ts';
import type { IntervalNoise } from '../../random/noise-source.ts';
import { offsetSeed, type Seed } from '../../random/seed.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { addScaled, linearCombination } from '../../tensor/arithmetic.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { NodeContext } from '../context-in-run.ts';
import type { LatentValue, SamplerValue } from '../values.ts';
import type { ModelValue } from '../values/model.ts';
import { fitSize } from './entry-inputs.ts';
import type { RunShape } from './run-shape.ts';
import { toBatch } from './to-batch.ts';
import { previewOf } from './preview.ts';

type Latent = Tensor<'float32'>;

/** Makes the guided denoiser of a run, of what it is guided by. */
export interface Guider {
  readonly model: ModelValue;
  readonly denoiser: (run: RunShape, needsUnconditional: boolean, context: NodeContext) => Promise<Denoiser>;
}

export interface SampleOptions {
  readonly guider: Guider;
  readonly sampler: SamplerValue;
  readonly sigmas: Float32Array;
  /** Standard normal, or zeros. */
  readonly noise: Latent;
  readonly seed: Seed;
  readonly latent: LatentValue;
}

/** A mask of the latent's size, one channel, for each item. */
function maskOf({ noiseMask }: LatentValue, shape: readonly number[]): Latent | undefined {
  if (!noiseMask) return undefined;
  const [batch = 1, , height = 1, width = 1] = shape;
  const [h = 1, w = 1] = noiseMask.shape.slice(-2);
  const count = noiseMask.data.length / (h * w);
  return toBatch(fitSize({ ...noiseMask, shape: [count, 1, h, w] }, height, width), batch);
}

/** a where the mask is 1, b where it is 0, rounded as in float32. */
function masked(mask: Latent, a: Latent, b: Latent): Latent {
  const [batch = 1, channels = 1] = a.shape;
  const plane = a.data.length / (batch * channels);
  const data = new Float32Array(a.data.length);
  for (let i = 0; i < data.length; i++) {
    const m = mask.data[Math.floor(i / (plane * channels)) * plane + (i % plane)] as number;
    data[i] = Math.fround((a.data[i] as number) * m) + Math.fround((b.data[i] as number) * Math.fround(1 - m));
  }
  return { ...a, data };
}

/** Keeps what the mask leaves: the model sees the kept latent at the level's noise, and answers with it. */
function keeping(
  denoise: Denoiser,
  { mask, latent }: RunShape,
  noise: Latent,
  maskAt: (mask: Latent, sigma: number) => Latent,
): Denoiser {
  if (!mask) return denoise;
  const seen = (x: Latent, sigma: number): Latent => {
    if (x.shape.join() !== latent.shape.join())
      throw new StableDiffusionError(
        'shape-mismatch',
        'A sampler that enlarges the latent does not work with a noise mask. Leave the mask out, or use another sampler.',
      );
    return masked(maskAt(mask, sigma), x, linearCombination([1, latent], [sigma, noise]));
  };
  const kept = (denoised: Latent, sigma: number): Latent => masked(maskAt(mask, sigma), denoised, latent);
  const { parts } = denoise;
  return Object.assign(
    async (x: Latent, sigma: number, signal?: AbortSignal) => kept(await denoise(seen(x, sigma), sigma, signal), sigma),
    {
      parts:
        parts &&
        (async (x: Latent, sigma: number, signal?: AbortSignal) => {
          const both = await parts(seen(x, sigma), sigma, signal);
          return { ...both, denoised: kept(both.denoised, sigma) };
        }),
    },
  );
}

/** Noise of the steps: one path of the whole batch, or draws of a generator of the run's seed. */
function stepNoise({ sampler, sigmas, seed, noise }: SampleOptions): IntervalNoise {
  const { shape } = noise;
  const levels = sigmas.filter((sigma) => sigma > 0);
  if (sampler.usesIntervalNoise && levels.length > 0)
    return brownianTreeNoise({
      shape,
      sigmaMin: levels.reduce((least, one) => Math.min(least, one)),
      sigmaMax: levels.reduce((most, one) => Math.max(most, one)),
      seed,
    });
  const generator = new TorchGenerator(seed);
  return () => generator.randn(shape);
}

/** The generator that drew the start noise, where it ended: PyTorch's global one. Without noise, of the seed. */
function globalGenerator({ seed, noise, latent }: SampleOptions): TorchGenerator {
  const generator = new TorchGenerator(seed);
  if (noise.data.every((value) => value === 0)) return generator;
  const { batchIndex } = latent;
  if (!batchIndex) generator.randn(noise.shape);
  else for (let i = 0; i <= Math.max(...batchIndex); i++) generator.randn([1, ...noise.shape.slice(1)]);
  return generator;
}

/** Draws from the next seed, for samplers that draw other noise for what a mask keeps. */
function keptNoise({ sampler, seed, noise }: SampleOptions): Latent {
  if (!sampler.drawsKeptNoise) return noise;
  return new TorchGenerator(offsetSeed(seed, 1)).randn(noise.shape);
}

/** Whose latents a model makes. */
export const latentsOf = ({ label, network }: ModelValue): NonNullable<LatentValue['of']> => ({
  label,
  family: familyOfContext(network.config.context_dim),
});

export interface Sampled {
  readonly samples: Latent;
  /** The last guess of the clean latent. */
  readonly denoised: Latent;
}

/** Runs a sampler. Throws `not-finite` for a latent that left the range of numbers, and what the network throws. */
export async function sampleLatent(options: SampleOptions, context: NodeContext): Promise<Sampled> {
  const { guider, sampler, sigmas, latent: given, noise } = options;
  const { samples } = given;
  if (sigmas.length === 0) return { samples, denoised: samples };
  const { model } = guider;
  const latent = samples.data.some((value) => value !== 0) ? scaledLatent(samples, model.config) : samples;
  const random = globalGenerator(options);
  const run: RunShape = {
    shape: samples.shape,
    latent,
    mask: maskOf(given, samples.shape),
    random,
    seed: options.seed,
  };
  const denoise = keeping(
    await guider.denoiser(run, sampler.needsUnconditional, context),
    run,
    keptNoise(options),
    (mask, sigma) => model.patches.denoiseMask?.(mask, sigma, sigmas) ?? mask,
  );
  const sigma = sigmas[0] as number;
  const { sigmaMax } = model.sampling;
  const isWhole = sigma > sigmaMax || Math.abs(sigma - sigmaMax) <= 1e-5 * Math.max(sigma, sigmaMax);
  const start = addScaled(latent, isWhole ? Math.sqrt(1 + sigma ** 2) : sigma, noise);
  const sample = sampler.begin?.(random) ?? sampler.sample;
  const sampling = sample(denoise, start, sigmas, {
    ...sampler.settings,
    noise: stepNoise(options),
    signal: context.signal,
  });
  let denoised = latent;
  let next = await sampling.next();
  while (!next.done) {
    const { step, steps } = next.value;
    denoised = next.value.denoised;
    const shown = denoised;
    context.progress(step, Math.max(step, steps), () => previewOf(model, shown));
    next = await sampling.next();
  }
  if (!next.value.data.every(Number.isFinite))
    throw new StableDiffusionError(
      'not-finite',
      'The sampler left the range of numbers. Use more steps or a lower cfg.',
    );
  return { samples: unscaledLatent(next.value, model.config), denoised: unscaledLatent(denoised, model.config) };
}
