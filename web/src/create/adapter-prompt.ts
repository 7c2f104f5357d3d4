/** LoRAs and trigger words in the text of a prompt. */

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const loraTag = (name: string): RegExp => new RegExp(`\\s*<lora:${escaped(name)}(?::[^<>]*)?>`, 'g');
/** Whole words, between commas or spaces. */
const wordsOf = (words: string): RegExp => new RegExp(`(?<![\\p{L}\\p{N}_])${escaped(words)}(?![\\p{L}\\p{N}_])`, 'u');

interface Named {
  readonly kind: 'lora' | 'embedding';
  readonly name: string;
}

export const hasAdapter = (prompt: string, { kind, name }: Named): boolean =>
  kind === 'lora' ? loraTag(name).test(prompt) : wordsOf(name).test(prompt);

export const hasWords = (prompt: string, words: string): boolean => wordsOf(words).test(prompt);

/** The weight that a prompt gives a LoRA. */
export function weightOf(prompt: string, name: string): number {
  const found = new RegExp(`<lora:${escaped(name)}:([^<>:]*)`).exec(prompt);
  const weight = Number(found?.[1] ?? 1);
  return Number.isFinite(weight) ? weight : 1;
}

/** Without the spaces and commas at its end; a regular expression would take the square of their number. */
function withoutEnd(prompt: string): string {
  let end = prompt.length;
  while (end > 0 && /[\s,]/.test(prompt.charAt(end - 1))) end--;
  return prompt.slice(0, end);
}

const joined = (prompt: string, words: string): string =>
  prompt.trim() === '' ? words : `${withoutEnd(prompt)}, ${words}`;

/** Takes words out, with the comma before or behind them. */
function without(prompt: string, words: string): string {
  const text = escaped(words);
  return prompt
    .replace(new RegExp(`\\s*,\\s*${text}(?![\\p{L}\\p{N}_])`, 'u'), '')
    .replace(new RegExp(`(?<![\\p{L}\\p{N}_])${text}\\s*,?\\s*`, 'u'), '');
}

export const toggledWords = (prompt: string, words: string): string =>
  hasWords(prompt, words) ? without(prompt, words) : joined(prompt, words);

/** The prompt with an adapter, or without it where it has it. */
export function toggled(prompt: string, adapter: Named & { readonly weight?: number }): string {
  const { kind, name, weight = 1 } = adapter;
  if (kind === 'embedding') return toggledWords(prompt, name);
  return hasAdapter(prompt, adapter)
    ? prompt.replace(loraTag(name), '').trim()
    : `${prompt.trim()} <lora:${name}:${weight}>`.trim();
}

export const withWeight = (prompt: string, name: string, weight: number): string =>
  prompt.replace(new RegExp(`<lora:${escaped(name)}(?::[^<>]*)?>`), () => `<lora:${name}:${weight}>`);
