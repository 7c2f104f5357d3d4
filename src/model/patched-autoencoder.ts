/** An autoencoder that works on large pictures in overlapping patches, blended (latent-diffusion's `split_input_params` for its first stage). */

import { cutPatch, inPatches, patchGrid, type PatchOptions } from '../diffusion/patches.ts';
import type { Autoencoder } from './autoencoder.ts';

/** `patches` are in latent elements. A picture no larger than one patch is encoded and decoded as it is. */
export function patchedAutoencoder(whole: Autoencoder, patches: PatchOptions): Autoencoder {
  const { downsampling: factor } = whole;
  const inPixels = { ...patches, size: patches.size * factor, stride: patches.stride * factor };
  return {
    ...whole,
    encode(images, signal) {
      const [, , height = 0, width = 0] = images.shape;
      const grid = patchGrid(height, width, inPixels, 1 / factor);
      return inPatches(grid, (patch) => whole.encode(cutPatch(images, patch), signal));
    },
    decode(latents, signal) {
      const [, , height = 0, width = 0] = latents.shape;
      const grid = patchGrid(height, width, patches, factor);
      return inPatches(grid, (patch) => whole.decode(cutPatch(latents, patch), signal));
    },
    checkDecodable: (channels, height, width) =>
      whole.checkDecodable(channels, Math.min(height, patches.size), Math.min(width, patches.size)),
  };
}
