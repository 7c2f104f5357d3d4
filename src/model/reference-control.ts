/** A reference mode as a control model: it has no file, and no network of its own. */

import { StableDiffusionError } from '../errors.ts';
import { noControlModel } from '../diffusion/control/reference-modes.ts';
import type { ControlModel } from './control-model.ts';

const refuse = async (): Promise<never> => {
  throw new StableDiffusionError('invalid-argument', 'A reference mode has no network to run.');
};

/** Needs no disposing. */
export const referenceControl: ControlModel = {
  label: noControlModel,
  config: { kind: 'reference' },
  pool: false,
  bytes: 0,
  run: refuse,
  see: refuse,
  pixelsOf() {
    throw new StableDiffusionError('invalid-argument', 'A reference mode has no image encoder.');
  },
  dispose: async () => {},
  [Symbol.asyncDispose]: async () => {},
};
