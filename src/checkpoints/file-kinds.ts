/**
 * The kinds of files that people have, by names of tensors that they alone have: models of families that this program does not run, and single
 * networks.
 */

import { controlNetworks } from './kinds/control-networks.ts';
import type { FileKind } from './kinds/file-kind.ts';
import { otherModels } from './kinds/other-models.ts';
import { partsOfModels } from './kinds/parts-of-models.ts';
import { pictureNetworks } from './kinds/picture-networks.ts';

export { lateKinds } from './kinds/late-kinds.ts';
export { kindsWithLoras } from './kinds/with-loras.ts';

/** Kinds whose files hold no model of this program, in the order in which they are tried: what is more particular comes first. */
export const fileKinds: readonly FileKind[] = [
  ...controlNetworks,
  ...otherModels,
  ...partsOfModels,
  ...pictureNetworks,
];
