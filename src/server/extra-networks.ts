/** A1111's extra networks in a prompt, `<lora:name:0.8>` (modules/extra_networks.py, extensions-builtin/Lora, v1.10.1). */

import { z } from 'zod';

export const loraUseSchema = z.object({ name: z.string(), /** In the UNet. */ scale: z.number(), /** In the text encoder. */ textScale: z.number() });
export type LoraUse = z.output<typeof loraUseSchema>;

const pattern = /<(\w+):([^<>]{1,300})>/g;
const kinds = new Set(['lora', 'lyco', 'hypernet']);

/** `name:TEXT:UNET`, or `name:te=…:unet=…`; what is no number is 1. */
function readLora(words: string): LoraUse {
  const named = new Map<string, string>();
  const positional: string[] = [];
  for (const part of words.split(':')) {
    const [key = '', value] = part.split('=', 2);
    if (value === undefined) positional.push(part);
    else named.set(key.trim(), value);
  }
  const number = (text: string | undefined, otherwise: number): number => {
    const value = text === undefined || text.trim() === '' ? Number.NaN : Number(text);
    return Number.isFinite(value) ? Math.max(-100, Math.min(100, value)) : otherwise;
  };
  const textScale = number(named.get('te') ?? positional[1], 1);
  return { name: (positional[0] ?? '').trim(), textScale, scale: number(named.get('unet') ?? positional[2], textScale) };
}

/** The prompt without its extra networks, and the LoRAs it names. A1111 keeps the first of those that are named twice. */
export function parseExtraNetworks(prompt: string): { readonly text: string; readonly loras: readonly LoraUse[] } {
  const loras = new Map<string, LoraUse>();
  const text = prompt.replace(pattern, (whole, kind: string, words: string) => {
    if (!kinds.has(kind)) return whole;
    const use = readLora(words);
    if (kind !== 'hypernet' && !loras.has(use.name)) loras.set(use.name, use);
    return '';
  });
  return { text, loras: [...loras.values()] };
}
