/**
 * An extension of a UNet: a value given when the network is traced, which declares further inputs and parameters and where they enter
 * (`nn/hooks.ts`). Control networks, adapters, tiling and caching are extensions; the network's own code knows none of them.
 */

import type { UNetConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { type Dim, dim, multiplyDims } from '../graph/dim.ts';
import type { InputSpec, Sym } from '../graph/trace.ts';
import { joinHooks, type UNetHooks } from '../nn/hooks.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { float32 } from '../tensor/tensor.ts';

export interface Extension {
  /** Distinguishes graphs: extensions of one name and one configuration trace the same graph. */
  readonly name: string;
  /** Inputs that the graph gets besides the network's own. The first axis of each is `batch`. */
  readonly inputs: (config: UNetConfig, sides: LatentSides) => Readonly<Record<string, InputSpec>>;
  /** The graph must be traced for one size of the latent (`NetworkTraceOptions.size`). Default false. */
  readonly needsSize?: boolean;
  /** Where they enter. `given` holds all inputs of the graph. */
  readonly hooks: (config: UNetConfig, given: Readonly<Record<string, Sym>>) => UNetHooks;
}

/** Height and width of the latent after so many halvings. */
export type LatentSides = (halvings: number) => readonly [height: Dim, width: Dim];

/** In the symbols of the UNet's own inputs, or of one size: sides are rounded up at each halving. */
function latentSides({ channel_mult }: UNetConfig, size: readonly [number, number] | undefined): LatentSides {
  if (size) return (halvings) => [Math.ceil(size[0] / 2 ** halvings), Math.ceil(size[1] / 2 ** halvings)];
  return (halvings) => {
    const unit = 2 ** (channel_mult.length - 1 - halvings);
    return [multiplyDims(unit, dim('height')), multiplyDims(unit, dim('width'))];
  };
}

/** The inputs of several extensions, for any size or one. Throws `invalid-argument` if two declare the same one. */
export function extensionInputs(
  extensions: readonly Extension[],
  config: UNetConfig,
  size?: readonly [height: number, width: number],
): Readonly<Record<string, InputSpec>> {
  const all: Record<string, InputSpec> = {};
  const sides = latentSides(config, size);
  for (const { name, inputs } of extensions)
    for (const [input, spec] of Object.entries(inputs(config, sides))) {
      if (all[input])
        throw new StableDiffusionError(
          'invalid-argument',
          `Two extensions of the UNet declare the input ${input}; the second is ${name}.`,
        );
      all[input] = spec;
    }
  return all;
}

/** Inputs of extensions that are one number for each image, as zeros: with them an extension changes nothing. */
export function zeroPerImage(extensions: readonly Extension[], config: UNetConfig, count: number): NetworkInputs {
  const perImage = Object.entries(extensionInputs(extensions, config)).filter(([, { shape }]) => shape.length === 1);
  return Object.fromEntries(perImage.map(([name]) => [name, float32([count], new Float32Array(count))]));
}

/** The hooks of several extensions as one. */
export function extensionHooks(
  extensions: readonly Extension[],
  config: UNetConfig,
  given: Readonly<Record<string, Sym>>,
): UNetHooks {
  return joinHooks(extensions.map(({ hooks }) => hooks(config, given)));
}
