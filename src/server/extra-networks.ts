/** LoRAs that a prompt names, `<lora:name:0.8>` (extensions-builtin/Lora of A1111 v1.10.1). */

import { z } from 'zod';
import { withoutComments } from '../prompt/comments.ts';
import { type ExtraNetwork, extraNetworks } from '../prompt/extra-networks.ts';

export const loraUseSchema = z.object({
  name: z.string(),
  /** In the UNet. */ scale: z.number(),
  /** In the text encoder. */ textScale: z.number(),
});
export type LoraUse = z.output<typeof loraUseSchema>;

const loraKinds = new Set(['lora', 'lyco']);
const kinds = new Set([...loraKinds, 'hypernet']);

/** `name:TEXT:UNET`, or `name:te=…:unet=…`; a missing or invalid number is 1. */
function readLora({ positional, named }: ExtraNetwork): LoraUse {
  const number = (text: string | undefined, otherwise: number): number => {
    const value = text === undefined || text.trim() === '' ? Number.NaN : Number(text);
    return Number.isFinite(value) ? Math.max(-100, Math.min(100, value)) : otherwise;
  };
  const textScale = number(named.get('te') ?? positional[1], 1);
  return {
    name: (positional[0] ?? '').trim(),
    textScale,
    scale: number(named.get('unet') ?? positional[2], textScale),
  };
}

/**
 * The prompt without its extra networks, and the LoRAs it names. A1111 keeps the first of those that are named twice. In its syntax comments
 * are left out before, and networks of kinds that there are not are left out too; in the plain one they are text.
 */
export function parseExtraNetworks(
  prompt: string,
  syntax: 'plain' | 'a1111' = 'plain',
): { readonly text: string; readonly loras: readonly LoraUse[] } {
  const { text, networks } =
    syntax === 'a1111' ? extraNetworks(withoutComments(prompt)) : extraNetworks(prompt, (kind) => kinds.has(kind));
  const loras = new Map<string, LoraUse>();
  for (const use of networks.filter(({ kind }) => loraKinds.has(kind)).map(readLora))
    if (!loras.has(use.name)) loras.set(use.name, use);
  return { text, loras: [...loras.values()] };
}
