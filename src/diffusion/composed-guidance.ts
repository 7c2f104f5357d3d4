/**
 * Guidance by several prompts at once, each with a weight, that may change from call to call: u + Σ weight · scale · (c - u) for each picture.
 *
 * Liu et al. 2022, "Compositional Visual Generation with Composable Diffusion Models" (arXiv 2206.01714), as A1111's CFGDenoiser
 * (modules/sd_samplers_cfg_denoiser.py, v1.10.1). Contexts may have different lengths: those of one length are run as a batch. A picture
 * comes out as it would alone.
 */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { concatenate, joinBatches, takeBatch } from '../tensor/arithmetic.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { DiffusionModel, Latent } from './denoiser.ts';
import { guideByImage, type GuidedModelOptions, type Network, rescaleGuided } from './guidance.ts';
import { inBatchesOf } from './network-batches.ts';

/** What one picture is guided by. Contexts are float32 [1, tokens, width]. */
export interface ComposedPrompt {
  readonly parts: readonly { readonly context: Tensor<'float32'>; readonly weight: number }[];
  readonly unconditional: Tensor<'float32'>;
}

export interface ComposedModelOptions
  extends Pick<GuidedModelOptions, 'network' | 'schedule' | 'parameterization' | 'scale' | 'rescale'> {
  /** The prompts of each picture at a model call, counted from 0. */
  readonly promptsAt: (call: number) => readonly ComposedPrompt[];
  /** Put behind x's channels, for every picture. */
  readonly concat?: Latent | undefined;
  /** InstructPix2Pix: the scale of the image, and what stands for no image. But at scale 1, each picture has one prompt then, whose weight has no effect. */
  readonly byImage?: { readonly scale: number; readonly blank: Latent } | undefined;
}

/** One picture with one context. */
interface Row {
  readonly x: Latent;
  readonly context: Tensor<'float32'>;
}

/** Runs the network on rows, those of one context length as batches of at most `most`; the outputs come in the order of the rows. */
async function runRows(
  network: Network,
  rows: readonly Row[],
  timestep: number,
  most: number,
  signal: AbortSignal | undefined,
): Promise<Latent[]> {
  const outputs: Latent[] = [];
  const limited = inBatchesOf(most, network);
  const lengths = new Set(rows.map(({ context }) => context.shape[1]));
  for (const length of lengths) {
    throwIfAborted(signal);
    const places = rows.flatMap(({ context }, i) => (context.shape[1] === length ? [i] : []));
    const output = await limited(
      {
        x: joinBatches(places.map((i) => (rows[i] as Row).x)),
        timesteps: { dtype: 'float32', shape: [places.length], data: new Float32Array(places.length).fill(timestep) },
        context: joinBatches(places.map((i) => (rows[i] as Row).context)),
      },
      signal,
    );
    for (const [at, i] of places.entries()) outputs[i] = takeBatch(output, at, at + 1);
  }
  return outputs;
}

/** u + Σ weight · scale · (c - u), rounded at every operation as in float32 PyTorch. */
function compose(
  unconditional: Latent,
  conditionals: readonly Latent[],
  weights: readonly number[],
  scale: number,
): Latent {
  const u = unconditional.data;
  const data = u.slice();
  for (const [part, { data: c }] of conditionals.entries()) {
    const factor = Math.fround((weights[part] ?? 1) * scale);
    for (let i = 0; i < data.length; i++)
      data[i] = (data[i] as number) + Math.fround(factor * Math.fround((c[i] as number) - (u[i] as number)));
  }
  return { ...unconditional, data };
}

/**
 * The guided model; it counts its calls, so it is for one picture's, or one batch's, sampling.
 * @throws `invalid-argument` for a scale that is not a number, and for several prompts with guidance by an image
 */
export function composedModel(options: ComposedModelOptions): DiffusionModel {
  const { network, schedule, parameterization, promptsAt, scale = 1, rescale = 0, concat } = options;
  // At 1 the picture without the image cancels out.
  const byImage = options.byImage?.scale === 1 ? undefined : options.byImage;
  for (const [name, value] of [
    ['guidance scale', scale],
    ['image guidance scale', byImage?.scale ?? 1],
    ['guidance rescale', rescale],
  ] as const) {
    if (!Number.isFinite(value))
      throw new StableDiffusionError('invalid-argument', `The ${name} is ${value}; it must be a finite number.`);
  }
  let call = 0;
  return {
    schedule,
    parameterization,
    async predict(x, timestep, signal) {
      const prompts = promptsAt(call);
      call += 1;
      const count = prompts.length;
      if (byImage && prompts.some(({ parts }) => parts.length > 1)) {
        throw new StableDiffusionError(
          'invalid-argument',
          'Prompts joined by AND cannot be used with a model that is guided by an image too.',
        );
      }
      const withConcat = concat ? concatenate([x, concat], 1) : x;
      const row = (image: number, context: Tensor<'float32'>, from = withConcat): Row => ({
        x: takeBatch(from, image, image + 1),
        context,
      });
      const conditionalOnly =
        !byImage &&
        scale === 1 &&
        prompts.every(({ parts: [first, ...more] }) => first?.weight === 1 && more.length === 0);
      const unconditional = conditionalOnly ? [] : prompts.map((prompt, image) => row(image, prompt.unconditional));
      const withoutImage = byImage ? concatenate([x, byImage.blank], 1) : x;
      const blank = byImage ? prompts.map((prompt, image) => row(image, prompt.unconditional, withoutImage)) : [];
      const conditional = prompts.flatMap(({ parts }, image) => parts.map(({ context }) => row(image, context)));
      const outputs = await runRows(
        network,
        [...unconditional, ...blank, ...conditional],
        timestep,
        count * (byImage ? 3 : 2),
        signal,
      );
      let next = unconditional.length + blank.length;
      const guided = prompts.map(({ parts }, image): Latent => {
        const own = outputs.slice(next, next + parts.length);
        next += parts.length;
        const [first] = own as [Latent];
        if (conditionalOnly) return first;
        const u = outputs[image] as Latent;
        if (byImage) {
          const made = guideByImage(outputs[count + image] as Latent, u, first, scale, byImage.scale);
          return rescale > 0 ? rescaleGuided(made, first, rescale) : made;
        }
        const weights = parts.map(({ weight }) => weight);
        const made = compose(u, own, weights, scale);
        return rescale > 0
          ? rescaleGuided(made, own.length === 1 ? first : compose(u, own, weights, 1), rescale)
          : made;
      });
      return joinBatches(guided);
    },
  };
}
