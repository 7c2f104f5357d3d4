/** LoRAs that a prompt names, `<lora:name:0.8>` (extensions-builtin/Lora of A1111 v1.10.1). */

import * as z from 'zod';
import { readBlockWeights } from '../adapters/lora/block-weights.ts';
import { withoutComments } from '../prompt/comments.ts';
import { networkKinds, type PromptNetworks, promptNetworks } from '../prompt/lora-mentions.ts';
import { invalidField } from './http/problem.ts';

export const loraUseSchema = z.object({
  name: z.string(),
  /** In the UNet. */ scale: z.number(),
  /** In the text encoder. */ textScale: z.number(),
  /** Factors of its blocks. */ blocks: z.string().optional(),
  /** Absent for a LoRA. */ kind: z.literal('hypernetwork').optional(),
});
export type LoraUse = z.output<typeof loraUseSchema>;

/**
 * The prompt without its extra networks, and the LoRAs it names. In A1111's syntax comments are left out before, and networks of kinds that
 * there are not are left out too; in the plain one they are text.
 */
export function parseExtraNetworks(prompt: string, syntax: 'plain' | 'a1111' = 'plain'): PromptNetworks {
  return syntax === 'a1111'
    ? promptNetworks(withoutComments(prompt))
    : promptNetworks(prompt, (kind) => networkKinds.has(kind));
}

/** Throws `invalid-argument` at a field for factors of blocks that cannot be read. */
export function checkBlocks(loras: readonly LoraUse[], where: readonly string[]): void {
  for (const { blocks } of loras) {
    if (blocks === undefined) continue;
    try {
      readBlockWeights(blocks);
    } catch (error) {
      throw invalidField(where, error instanceof Error ? error.message : 'the factors of a LoRA are not valid');
    }
  }
}
