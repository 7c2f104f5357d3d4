/**
 * An extension of a UNet: a value given when the network is traced, which declares further inputs and parameters and where they enter
 * (`nn/hooks.ts`). Control networks, adapters, tiling and caching are extensions; the network's own code knows none of them.
 */

import type { UNetConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { type Dim, dim, multiplyDims } from '../graph/dim.ts';
import type { InputSpec, Sym } from '../graph/trace.ts';
import { joinHooks, type UNetHooks } from '../nn/hooks.ts';

export interface Extension {
  /** Distinguishes graphs: extensions of one name and one configuration trace the same graph. */
  readonly name: string;
  /** Inputs that the graph gets besides the network's own. The first axis of each is `batch`. */
  readonly inputs: (config: UNetConfig) => Readonly<Record<string, InputSpec>>;
  /** Height and width of the latent that the graph is for alone: those that are no multiples of the UNet's unit need it. */
  readonly latentSize?: readonly [height: number, width: number] | undefined;
  /** The graph must be traced for one size of the latent (`NetworkTraceOptions.size`). Default false. */
  readonly needsSize?: boolean;
  /** Where they enter. `given` holds all inputs of the graph. */
  readonly hooks: (config: UNetConfig, given: Readonly<Record<string, Sym>>) => UNetHooks;
}

/** Height and width of the latent after so many halvings, in the symbols of the UNet's own inputs. */
export function latentSides({ channel_mult }: UNetConfig, halvings: number): readonly [Dim, Dim] {
  const unit = 2 ** (channel_mult.length - 1 - halvings);
  return [multiplyDims(unit, dim('height')), multiplyDims(unit, dim('width'))];
}

/** The inputs of several extensions. Throws `invalid-argument` if two declare the same one. */
export function extensionInputs(
  extensions: readonly Extension[],
  config: UNetConfig,
): Readonly<Record<string, InputSpec>> {
  const all: Record<string, InputSpec> = {};
  for (const { name, inputs } of extensions)
    for (const [input, spec] of Object.entries(inputs(config))) {
      if (all[input])
        throw new StableDiffusionError(
          'invalid-argument',
          `Two extensions of the UNet declare the input ${input}; the second is ${name}.`,
        );
      all[input] = spec;
    }
  return all;
}

/** The hooks of several extensions as one. */
export function extensionHooks(
  extensions: readonly Extension[],
  config: UNetConfig,
  given: Readonly<Record<string, Sym>>,
): UNetHooks {
  return joinHooks(extensions.map(({ hooks }) => hooks(config, given)));
}
