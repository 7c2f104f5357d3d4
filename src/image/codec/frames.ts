/** The frames of a picture's file. */

import type { Image } from '../image.ts';

export interface Frames {
  readonly frames: readonly Image<4>[];
  /** Whether the file has transparency. */
  readonly hasAlpha: boolean;
}
