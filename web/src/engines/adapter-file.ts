/** What a dropped file of weights is, by its header: a LoRA, a textual inversion, something else with a name, or perhaps a model. */

import { familyOf } from 'stable-diffusion-ts/checkpoints/family.ts';
import { readEmbeddings } from 'stable-diffusion-ts/adapters/textual-inversion.ts';
import { blobBytes } from 'stable-diffusion-ts/files/byte-source-web.ts';
import { openWeights } from 'stable-diffusion-ts/formats/open-weights.ts';

export type FoundKind =
  | { readonly kind: 'lora' | 'embedding'; readonly name: string }
  /** Known, and of no use here. */
  | { readonly kind: 'other'; readonly text: string };

/** Larger files are no textual inversions. */
const mostEmbedding = 20e6;

/** Undefined for what may be a model, and for what cannot be read: opening it as a model tells more. */
export async function adapterKind(file: File): Promise<FoundKind | undefined> {
  const stem = file.name.replace(/\.[^.]+$/, '');
  try {
    const source = await openWeights(blobBytes(file));
    try {
      const family = familyOf(source.entries);
      if (family?.id.startsWith('lora') && family.isSupported) return { kind: 'lora', name: stem };
      if (family) return { kind: 'other', text: `${file.name} is ${family.name}. ${family.advice}` };
      if (file.size > mostEmbedding) return undefined;
      const found = await readEmbeddings(source, { token: stem }).catch(() => []);
      return found.length > 0 ? { kind: 'embedding', name: stem } : undefined;
    } finally {
      await source.close();
    }
  } catch {
    return undefined;
  }
}
