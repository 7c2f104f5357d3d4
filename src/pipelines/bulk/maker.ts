/** Makers of bulk samples: pictures of given indices, each of which depends on the seed of the set and its index alone. */

import type { Image } from '../../image/image.ts';

export interface BulkMaker {
  /** Pixels of the pictures. */
  readonly width: number;
  readonly height: number;
  /** The class of a picture; undefined for models without classes. */
  readonly classOf?: ((index: number) => number) | undefined;
  /** The pictures of these indices, in their order. */
  make(indices: readonly number[], signal?: AbortSignal): Promise<readonly Image<3>[]>;
}
