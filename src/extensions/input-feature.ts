/** Adds a feature to the output of a UNet's input convolution, and so to its first skip connection: Fooocus's inpainting head. */

import { dim } from '../graph/dim.ts';
import { add } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import type { Extension } from './extension.ts';

/** The input of the extension: float32 [batch, model_channels, h, w]. */
export const inputFeatureInput = 'input_feature';

export const inputFeature: Extension = {
  name: 'input-feature',
  inputs: ({ model_channels }, sides) => ({
    [inputFeatureInput]: { dtype: 'float32', shape: [dim('batch'), model_channels, ...sides(0)] },
  }),
  hooks: (_, given) => ({ afterInput: (h) => add(h, given[inputFeatureInput] as Sym) }),
};
