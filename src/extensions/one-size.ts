/** A UNet for one size of latents: sides that are no multiples of its unit are rounded up at each halving, and cut again at each doubling. */

import type { Extension } from './extension.ts';

export const oneSize = (height: number, width: number): Extension => ({
  name: `size ${height}x${width}`,
  latentSize: [height, width],
  inputs: () => ({}),
  hooks: () => ({}),
});
