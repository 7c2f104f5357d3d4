/**
 * Guidance by several prompts at once, each with a weight, that may change from call to call: u + Σ weight · scale · (c - u) for each picture.
 *
 * Liu et al. 2022, "Compositional Visual Generation with Composable Diffusion Models" (arXiv 2206.01714), as A1111's CFGDenoiser
 * (modules/sd_samplers_cfg_denoiser.py, v1.10.1). Contexts may have different lengths: those of equal length run as a batch. A picture
 * comes out as it would alone.
 */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { inputsLayout, joinBatches, joinInputs, takeBatch } from '../tensor/batches.ts';
import type { DiffusionModel, Latent } from './denoiser.ts';
import {
  type Condition,
  type DenoiserInputs,
  denoiserInputs,
  guideByImage,
  type GuidedModelOptions,
  type Network,
  rescaleGuided,
} from './guidance.ts';
import { inBatchesOf } from './network-batches.ts';

/** The conditions of one picture. Each condition has a batch of 1. */
export interface ComposedPrompt {
  readonly parts: readonly { readonly condition: Condition; readonly weight: number }[];
  readonly unconditional: Condition;
}

export interface ComposedModelOptions
  extends Pick<GuidedModelOptions, 'network' | 'schedule' | 'parameterization' | 'scale' | 'rescale'> {
  /** The prompts of each picture at a model call, counted from 0. */
  readonly promptsAt: (call: number) => readonly ComposedPrompt[];
  /** Put behind x's channels, for every picture. */
  readonly concat?: Latent | undefined;
  /** Further inputs for every picture, and those of the unconditional pass where they differ. */
  readonly inputs?: Condition | undefined;
  readonly unconditionalInputs?: Condition | undefined;
  /** Number of the first call. Default 0. */
  readonly firstCall?: number | undefined;
  /**
   * InstructPix2Pix: the scale of the image, and the input for no image. With a scale other than 1, each picture takes a single prompt
   * and its weight is ignored.
   */
  readonly byImage?: { readonly scale: number; readonly blank: Latent } | undefined;
}

/** Runs the network on inputs of one picture each, those of one layout as batches of at most `most`; the outputs come in the order of the rows. */
async function runRows(
  network: Network,
  rows: readonly DenoiserInputs[],
  most: number,
  signal: AbortSignal | undefined,
): Promise<Latent[]> {
  const outputs: Latent[] = [];
  const limited = inBatchesOf(most, network);
  const layouts = rows.map(inputsLayout);
  for (const layout of new Set(layouts)) {
    throwIfAborted(signal);
    const places = layouts.flatMap((found, i) => (found === layout ? [i] : []));
    const output = await limited(joinInputs(places.map((i) => rows[i] as DenoiserInputs)), signal);
    for (const [at, i] of places.entries()) outputs[i] = takeBatch(output, at, at + 1);
  }
  return outputs;
}

/** The inputs of one picture; a batch of 1 serves every one. */
function takeItem(inputs: Condition, item: number): Condition {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, value]) => [
      name,
      value.shape[0] === 1 ? value : takeBatch(value, item, item + 1),
    ]),
  );
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

/** One call of the network for all pictures. Without a wish for the parts, passes that change nothing are left out. */
function evaluationOf(options: ComposedModelOptions, byImage: ComposedModelOptions['byImage']) {
  const { network, scale = 1, rescale = 0, concat, inputs, unconditionalInputs = inputs } = options;
  return async (
    x: Latent,
    timestep: number,
    prompts: ReturnType<ComposedModelOptions['promptsAt']>,
    wantsParts: boolean,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly guided: readonly Latent[]; readonly unconditional: readonly Latent[] }> => {
    const count = prompts.length;
    if (byImage && prompts.some(({ parts }) => parts.length > 1)) {
      throw new StableDiffusionError(
        'invalid-argument',
        'Prompts joined by AND cannot be used with a model that is guided by an image too.',
      );
    }
    const row = (image: number, condition: Condition, channels = concat, more = inputs): DenoiserInputs =>
      denoiserInputs(takeBatch(x, image, image + 1), timestep, {
        ...condition,
        ...(more && takeItem(more, image)),
        ...(channels && { concat: channels.shape[0] === 1 ? channels : takeBatch(channels, image, image + 1) }),
      });
    const conditionalOnly =
      !wantsParts &&
      !byImage &&
      scale === 1 &&
      prompts.every(({ parts: [first, ...more] }) => first?.weight === 1 && more.length === 0);
    const unconditional = conditionalOnly
      ? []
      : prompts.map((prompt, image) => row(image, prompt.unconditional, concat, unconditionalInputs));
    const blank = byImage ? prompts.map((prompt, image) => row(image, prompt.unconditional, byImage.blank)) : [];
    const conditional = prompts.flatMap(({ parts }, image) => parts.map(({ condition }) => row(image, condition)));
    const outputs = await runRows(
      network,
      [...unconditional, ...blank, ...conditional],
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
      return rescale > 0 ? rescaleGuided(made, own.length === 1 ? first : compose(u, own, weights, 1), rescale) : made;
    });
    return { guided, unconditional: outputs.slice(0, unconditional.length) };
  };
}

/**
 * The guided model; it counts its calls, so it is for one picture's, or one batch's, sampling.
 * @throws `invalid-argument` for a scale that is not a number, and for several prompts with guidance by an image
 */
export function composedModel(options: ComposedModelOptions): DiffusionModel {
  const { schedule, parameterization, promptsAt, scale = 1, rescale = 0, firstCall = 0 } = options;
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
  let call = firstCall;
  const evaluate = evaluationOf(options, byImage);
  return {
    schedule,
    parameterization,
    predict: async (x, timestep, signal) =>
      joinBatches((await evaluate(x, timestep, promptsAt(call++), false, signal)).guided),
    predictParts: byImage
      ? undefined
      : async (x, timestep, signal) => {
          const { guided, unconditional } = await evaluate(x, timestep, promptsAt(call++), true, signal);
          return { guided: joinBatches(guided), unconditional: joinBatches(unconditional) };
        },
  };
}
