/** LoRAs that a prompt names, `<lora:name:0.8>` (extensions-builtin/Lora of A1111 v1.10.1). */

import { z } from 'zod';
import { withoutComments } from '../prompt/comments.ts';
import { networkKinds, type PromptNetworks, promptNetworks } from '../prompt/lora-mentions.ts';

export const loraUseSchema = z.object({
  name: z.string(),
  /** In the UNet. */ scale: z.number(),
  /** In the text encoder. */ textScale: z.number(),
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
