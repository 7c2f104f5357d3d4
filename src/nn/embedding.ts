/** Lookup of learned rows (`torch.nn.Embedding`). */

import { gather } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';

/** ids int64 [...] → [..., width]; parameter `weight` [rows, width]. */
export function embedding(p: Params, ids: Sym, rows: number, width: number): Sym {
  return p.module(() => gather(p.get('weight', [rows, width]), ids));
}
