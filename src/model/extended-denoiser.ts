/**
 * A model's denoiser with extensions: control networks' outputs, adapters' features and image tokens enter it as further inputs.
 *
 * The model keeps one such form (kept-form.ts).
 */

import type { UNetConfig } from '../config/network-config.ts';
import type { DenoiserInputs, Network } from '../diffusion/guidance.ts';
import type { PrecisionName } from '../engine/precision.ts';
import { StableDiffusionError } from '../errors.ts';
import { type Extension, extensionInputs } from '../extensions/extension.ts';
import { evaluateShape } from '../graph/dim.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { zeros } from '../tensor/tensor.ts';
import { joined } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type DenoiserNetwork, denoiserNetwork } from './denoiser-network.ts';
import { type KeptForm, noLease } from './kept-form.ts';
import { assertNetworksMatch, type NamedNetwork, NetworkSet } from './network-set.ts';

/** What of a model its denoiser's forms are made of. */
export interface DenoisingModel {
  readonly label: string;
  readonly networks: NetworkSet;
  readonly precision: PrecisionName;
  readonly predict: Network;
  readonly keptForm: KeptForm;
}

export interface DenoiserAdditions {
  readonly extensions: readonly Extension[];
  /** Parameters of the extensions, under the denoiser's names. */
  readonly weights?: readonly WeightSource[];
}

/** A run has it until it is disposed of. */
export interface ExtendedDenoiser extends AsyncDisposable {
  readonly predict: Network;
  /** Other outputs, of the extensions. */
  readonly observe: DenoiserNetwork['observe'];
  /** Zeros for the inputs of the extensions: what leaves the denoiser as it is. Tokens are one of zeros. */
  readonly neutral: (inputs: DenoiserInputs) => NetworkInputs;
}

/** The model's own UNet. Throws `invalid-argument` for a model without one. */
export function unetOf({ label, networks }: DenoisingModel): NamedNetwork & { readonly config: UNetConfig } {
  const found = networks.named('unet');
  if (found.config.kind !== 'unet')
    throw new StableDiffusionError('invalid-argument', `${label} has no UNet that can be controlled.`);
  return { ...found, config: found.config };
}

function networksFor(model: DenoisingModel, { extensions, weights = [] }: DenoiserAdditions): NetworkSet {
  const { config, weights: own, extensions: always = [] } = unetOf(model);
  const unet: NamedNetwork = {
    config,
    weights: weights.length > 0 ? joined([own, ...weights], model.label) : own,
    extensions: [...always, ...extensions],
  };
  assertNetworksMatch([unet]);
  const { engine } = model.networks;
  return new NetworkSet({
    label: model.label,
    engine,
    precision: model.precision,
    networks: new Map([['unet', unet]]),
  });
}

/** Tokens, whose number the units decide: they give them at every call. */
const isAlwaysGiven = (name: string): boolean =>
  /^(?:image_tokens\.|reference\.tokens\.|grounding\.objects$)/.test(name);

/** Zeros for every input of the extensions, except tokens, for a batch. */
function zeroInputs(extensions: readonly Extension[], config: UNetConfig): (inputs: DenoiserInputs) => NetworkInputs {
  const specs = Object.entries(extensionInputs(extensions, config));
  const unit = 2 ** (config.channel_mult.length - 1);
  return ({ x }) => {
    const [batch = 1, , height = 1, width = 1] = x.shape;
    const bindings = new Map([
      ['batch', batch],
      ['height', height / unit],
      ['width', width / unit],
    ]);
    return Object.fromEntries(
      specs.flatMap(([name, { dtype, shape }]) =>
        isAlwaysGiven(name) ? [] : [[name, zeros(dtype, evaluateShape(shape, bindings))]],
      ),
    );
  };
}

/** The model's denoiser with extensions; without any, its own. Throws `weights-mismatch` if the extensions' parameters do not fit it. */
export async function extendedDenoiser(model: DenoisingModel, additions: DenoiserAdditions): Promise<ExtendedDenoiser> {
  const { extensions, weights = [] } = additions;
  if (extensions.length === 0) {
    await model.keptForm.free();
    return {
      ...noLease,
      predict: (inputs, signal) => model.predict(inputs, signal),
      observe: async () => ({}),
      neutral: () => ({}),
    };
  }
  const names = [extensions.map(({ name }) => name), weights.map(({ label }) => label)];
  const { form, ...end } = await model.keptForm.lease(JSON.stringify(['extended', ...names]), async () => {
    await model.networks.release('unet');
    return networksFor(model, additions);
  });
  const { config } = unetOf(model);
  const { predict, observe } = denoiserNetwork(config, form);
  return {
    ...end,
    predict,
    observe,
    neutral: zeroInputs(extensions, config),
  };
}
