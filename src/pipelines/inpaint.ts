/** Inpainting (runwayml's scripts/inpaint_st.py, CompVis's scripts/inpaint.py, and masked sampling with any other model). */

import type { InpaintOptions } from '../generation/inputs.ts';
import type { Model } from '../model/model.ts';
import type { Pipeline } from './events.ts';
import { generate } from './generate.ts';

/** Paints the masked part of an image. Errors as `imageToImage`. */
export function inpaint(model: Model, options: InpaintOptions): Pipeline {
  return generate(model, { ...options, task: 'inpaint' });
}
