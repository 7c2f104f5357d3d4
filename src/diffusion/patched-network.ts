/** A network that works on large latents in patches: x, and what is concatenated to it, is cut; other inputs are the same for every patch, or made for each. */

import type { DenoiserInputs, Network } from './guidance.ts';
import { inPatches, cutPatch, type PatchGrid, patchGrid, type PatchOptions } from './patches.ts';

/** A box in shares of the picture: left, top, width, height. */
export type Window = readonly [x: number, y: number, width: number, height: number];

export interface PatchedNetworkOptions {
  readonly patches: PatchOptions;
  /** Inputs in place of those given, for the part of the picture in a window (boxes: the window is part of the condition). */
  readonly conditionAt?: ((window: Window) => Promise<Partial<DenoiserInputs>>) | undefined;
}

/** The window of a patch. */
export function windowOf({ patches, height, width }: PatchGrid, index: number): Window {
  const patch = patches[index] ?? { y: 0, x: 0, height, width };
  return [patch.x / width, patch.y / height, patch.width / width, patch.height / height];
}

export function patchedNetwork(network: Network, { patches, conditionAt }: PatchedNetworkOptions): Network {
  return (inputs, signal) => {
    const [, , height = 0, width = 0] = inputs.x.shape;
    const grid = patchGrid(height, width, patches);
    if (grid.patches.length === 1) return network(inputs, signal);
    return inPatches(grid, async (patch, index) => {
      const own = await conditionAt?.(windowOf(grid, index));
      return network({ ...inputs, ...own, x: cutPatch(inputs.x, patch) } as DenoiserInputs, signal);
    });
  };
}
