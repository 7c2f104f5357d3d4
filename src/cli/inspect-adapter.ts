/** LoRAs and embeddings as `sd inspect` sees them: recognised by the names of their tensors, and whether they would load. */

import { StableDiffusionError } from '../errors.ts';
import { isEmbedding } from '../checkpoints/embedding-file.ts';
import { isLora } from '../checkpoints/lora-family.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** Files that modify a model without being one (LoRAs, embeddings), recognised by tensor names. */
export function adapterKind(source: WeightSource): 'lora' | 'embedding' | undefined {
  if (isLora(source.entries)) return 'lora';
  if (isEmbedding(source.entries)) return 'embedding';
  return undefined;
}

/** Why an adapter would not load, from its names and shapes; whether it fits a model is another question. */
export async function adapterProblem(source: WeightSource, kind: 'lora' | 'embedding'): Promise<string | undefined> {
  try {
    if (kind === 'embedding') {
      const { checkEmbeddings } = await import('../adapters/textual-inversion.ts');
      checkEmbeddings(source);
      return undefined;
    }
    const { openLora } = await import('../adapters/lora/lora-file.ts');
    const { deltaSizes } = await import('../adapters/lora/lora-delta.ts');
    const lora = openLora(source);
    for (const module of lora.modules) deltaSizes(lora, module);
    const [first] = lora.unknown;
    return first === undefined
      ? undefined
      : `${lora.unknown.length} of its tensors are not those of a LoRA that this program can apply, such as ${first}.`;
  } catch (error) {
    if (error instanceof StableDiffusionError) return error.message;
    throw error;
  }
}
