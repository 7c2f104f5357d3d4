/** The model that ends a run, checked against the one that begins it. */

import type { HandOverOptions } from '../diffusion/hand-over.ts';
import { totalCalls } from '../diffusion/total-calls.ts';
import { StableDiffusionError } from '../errors.ts';
import { defaultRefinerSwitch } from '../generation/second-model.ts';
import type { SplitOptions } from '../generation/split-options.ts';
import type { Model } from '../model/model.ts';
import type { ChosenSampler } from './choose-sampler.ts';

export interface Refiner extends HandOverOptions {
  readonly model: Model;
}

function refuse(message: string): never {
  throw new StableDiffusionError('invalid-argument', message);
}

/** The refiner of a run, or undefined for a run without one. Throws `invalid-argument` for a model that cannot go on where the first stops. */
export function refinerOf(
  model: Model,
  { request, inputs }: SplitOptions,
  { sampler }: ChosenSampler,
): Refiner | undefined {
  const { refiner: name, refinerSwitchAt, refinerSwitchBySteps: bySteps = false } = request;
  const { refiner } = inputs;
  const at = refinerSwitchAt ?? defaultRefinerSwitch;
  if (!refiner) {
    if (refinerSwitchAt !== undefined && name === undefined) refuse('refinerSwitchAt needs a refiner.');
    if (name !== undefined) refuse(`The refiner ${name} was not loaded. Load the model and give it as \`refiner\`.`);
    return undefined;
  }
  const [own, other] = [model.checkpoint.config, refiner.checkpoint.config];
  if (refiner.latentChannels !== model.latentChannels || own.scale_factor !== other.scale_factor)
    refuse(
      `${refiner.label} cannot refine what ${model.label} begins: its latents have ${refiner.latentChannels} channels and the scale ${other.scale_factor}, and those of the first model ${model.latentChannels} and ${own.scale_factor}. Use a model with the same autoencoder.`,
    );
  if (refiner.parameterization !== model.parameterization)
    refuse(
      `${refiner.label} cannot refine what ${model.label} begins: it predicts ${refiner.parameterization}, and the first model ${model.parameterization}.`,
    );
  return { model: refiner, at, ofCalls: bySteps ? totalCalls(sampler, request.steps) : undefined };
}
