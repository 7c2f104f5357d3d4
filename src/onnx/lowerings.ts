/** The lowerings, in the order of trial for each node. */

import { blockedImages } from './blocked-images.ts';
import { float32Islands } from './float32-islands.ts';
import { operationForms } from './forms.ts';
import { linearParts } from './linear-parts.ts';
import type { Lowering } from './lowering.ts';
import { plainAttention } from './plain-attention.ts';

/** Ways to emit one operation by itself. */
const single: readonly Lowering[] = [plainAttention, operationForms];

export const lowerings: readonly Lowering[] = [linearParts, blockedImages, float32Islands(single), ...single];
