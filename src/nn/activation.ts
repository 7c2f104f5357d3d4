/** CLIP's activations by the names of Hugging Face configurations (`hidden_act`). */

import { gelu, quickGelu } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';

export const activations = { quick_gelu: quickGelu, gelu } as const satisfies Record<string, (x: Sym) => Sym>;
export type Activation = keyof typeof activations;
