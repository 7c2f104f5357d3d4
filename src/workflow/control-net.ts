/** CONTROL_NET: a file of a ControlNet or T2I-Adapter, and its network for the model that it is used with. */

import { controlKindName, openControlFile, readControlConfig } from '../checkpoints/control-file.ts';
import type { ControlNetConfig, T2IAdapterConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import type { NamedNetwork } from '../model/network-set.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { ControlNetValue } from './values/control.ts';
import type { ModelValue } from './values/model.ts';

export type ControlNetwork = NamedNetwork & { readonly config: ControlNetConfig | T2IAdapterConfig };

/** CONTROL_NET of a file, which stays open. Throws `model-unknown` for a file of another network, and closes it. */
export async function controlNetOf(file: WeightSource): Promise<ControlNetValue> {
  try {
    const config = readControlConfig(file);
    if (config.kind === 'controlnet' || config.kind === 't2i_adapter')
      return { holdsNetworks: true, label: file.label, file };
    throw new StableDiffusionError(
      'model-unknown',
      `${file.label} is not a ControlNet or T2I-Adapter; it is a file of the kind ${controlKindName(config)}.`,
    );
  } catch (error) {
    await file.close();
    throw error;
  }
}

const opened = new WeakMap<WeightSource, WeakMap<object, ControlNetwork>>();

/** The network of a file for a model: the same value for the same model, by which the pool knows it. Throws `weights-mismatch` for another family. */
export function controlNetworkFor(
  { file, summand }: ControlNetValue,
  { label, network: used }: ModelValue,
): ControlNetwork {
  const network = summand ?? used;
  // A file of differences takes its other summand from the UNet's weights.
  const owner = file.entries.has('difference') ? network : network.config;
  const known = opened.get(file) ?? new WeakMap<object, ControlNetwork>();
  opened.set(file, known);
  const found = known.get(owner);
  if (found) return found;
  const { config, weights } = openControlFile(file, { label, config: network.config, weights: network.weights });
  const made = { config, weights } as ControlNetwork;
  known.set(owner, made);
  return made;
}
