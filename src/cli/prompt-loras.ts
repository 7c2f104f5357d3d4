/** The LoRAs that prompts in A1111's syntax name, `<lora:style:0.8>`: their files are looked for in a folder, as A1111 does. */

import { StableDiffusionError } from '../errors.ts';
import { withoutComments } from '../prompt/comments.ts';
import { type LoraMention, promptNetworks } from '../prompt/lora-mentions.ts';
import type { LoraWords } from './adapter-options.ts';

export interface PromptLoras {
  /** The prompts without them. */
  readonly prompts: readonly string[];
  readonly loras: readonly LoraWords[];
  /** What was left out, in words. */
  readonly warnings: readonly string[];
}

/** Throws `invalid-argument` for prompts of one run that name different LoRAs: a run has one model. Throws `file-not-found` for the folder. */
export async function promptLoras(prompts: readonly string[], folder: string | undefined): Promise<PromptLoras> {
  const read = prompts.map((prompt) => promptNetworks(withoutComments(prompt)));
  const [first] = read;
  const uses: readonly LoraMention[] = first?.loras ?? [];
  if (read.some(({ loras }) => JSON.stringify(loras) !== JSON.stringify(uses)))
    throw new StableDiffusionError(
      'invalid-argument',
      'The prompts of this run name different LoRAs, and a run has one model. Run them one by one, or with the same LoRAs.',
    );
  const warnings = new Set(read.flatMap((one) => one.warnings));
  for (const { name } of read.flatMap(({ hypernetworks }) => hypernetworks))
    warnings.add(`The hypernetwork ${name.slice(0, 100)} was left out: only servers take hypernetworks from prompts.`);
  const texts = prompts.map((prompt, i) => (prompt.includes('<') ? (read[i]?.text ?? prompt) : prompt));
  if (uses.length === 0) return { prompts: texts, loras: [], warnings: [...warnings] };
  const { openAdapterCatalog } = await import('../server/models/adapter-catalog.ts');
  const catalog = await openAdapterCatalog({ lorasFolder: folder, onUnusable: () => {} });
  const loras: LoraWords[] = [];
  for (const { name, ...strength } of uses) {
    if (catalog.findLora(name)) loras.push({ ...strength, path: catalog.loraPath(name) });
    else
      warnings.add(
        `Lora not found: ${name.slice(0, 100)}. ${folder === undefined ? 'Name the folder of LoRAs with --lora-dir.' : 'The picture is made without it.'}`,
      );
  }
  return { prompts: texts, loras, warnings: [...warnings] };
}
