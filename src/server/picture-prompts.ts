/** The prompt of each picture: all have the caller's, or each its own of a template (`dynamicPrompts`), by its seed as in sd-dynamic-prompts. */

import { type Wildcards, resolveDynamicPrompt } from '../prompt/dynamic-prompt.ts';
import { laterSeed, type PlainSeed } from '../random/plain-seed.ts';

export interface PromptTemplates {
  readonly prompt: string;
  readonly negativePrompt?: string | undefined;
  /** Whether these are templates. */
  readonly dynamicPrompts?: boolean | undefined;
}

/** `count` prompts; the first picture has the seed `first`, and those after it count up. Throws `invalid-argument` for a template that cannot be read. */
export function picturePrompts(
  { prompt, negativePrompt = '', dynamicPrompts = false }: PromptTemplates,
  { first, count }: { readonly first: PlainSeed; readonly count: number },
  wildcards?: Wildcards,
): { readonly prompts: readonly string[]; readonly negativePrompt: string } {
  if (!dynamicPrompts) return { prompts: Array.from({ length: count }, () => prompt), negativePrompt };
  const seed = (place: number): bigint => BigInt(laterSeed(first, place));
  return {
    prompts: Array.from({ length: count }, (_, i) => resolveDynamicPrompt(prompt, seed(i), wildcards)),
    negativePrompt: resolveDynamicPrompt(negativePrompt, seed(0), wildcards),
  };
}
