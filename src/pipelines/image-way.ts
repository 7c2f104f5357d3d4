/** What a kind of model does with an image that the caller gives: the type of a row in the table of `start-from-image.ts`. */

import type { AnyInputs } from '../generation/inputs.ts';
import type { RequestOf } from '../generation/request.ts';
import type { Model } from '../model/model.ts';
import type { PictureSize } from './picture-size.ts';
import type { Start } from './start.ts';

export interface ImageUse {
  readonly model: Model;
  readonly request: RequestOf<'img2img'>;
  readonly inputs: AnyInputs;
  /** Of the pictures to be made. */
  readonly size: PictureSize;
}

/** Checks the inputs, and returns the preparation of each batch. */
export type ImageWay = (use: ImageUse) => NonNullable<Start['prepare']>;
