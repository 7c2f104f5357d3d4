/** The LoRAs and hypernetworks that the prompts of a job name, and what was left out of them. As in A1111, unknown ones and those without effect are left out. */

import type { ServerContext } from './context.ts';
import { checkBlocks, type LoraUse, parseExtraNetworks } from './extra-networks.ts';
import { invalidField } from './http/problem.ts';

interface Place {
  readonly context: Pick<ServerContext, 'adapters'>;
  readonly promptSyntax: 'plain' | 'a1111';
}

interface Adapters {
  readonly loras: readonly LoraUse[];
  readonly warnings: readonly string[];
}

function ofPrompt({ context: { adapters }, promptSyntax }: Place, prompt: string, where: readonly string[]): Adapters {
  const { loras, hypernetworks, warnings } = parseExtraNetworks(prompt, promptSyntax);
  checkBlocks(loras, where);
  const unknown = [...new Set(loras.map(({ name }) => name).filter((name) => !adapters.findLora(name)))];
  const known = adapters.hypernetworks().map(({ name }) => name);
  const missing = new Set(hypernetworks.map(({ name }) => name).filter((name) => !known.includes(name)));
  return {
    loras: [
      ...loras.filter(({ name, scale, textScale }) => adapters.findLora(name) && (scale !== 0 || textScale !== 0)),
      ...hypernetworks
        .filter(({ name, scale }) => !missing.has(name) && scale !== 0)
        .map((use) => ({ ...use, textScale: 0, kind: 'hypernetwork' as const })),
    ],
    warnings: [
      ...warnings,
      ...unknown.map((name) => `Lora not found: ${name.slice(0, 100)}`),
      ...Array.from(missing, (name) => `Hypernetwork not found: ${name.slice(0, 100)}`),
    ],
  };
}

/** Throws `invalid-argument` for pictures with LoRAs of their own: the pictures of a job have one model. */
export function adaptersOf(place: Place, prompts: readonly string[], where: readonly string[]): Adapters {
  const [first, ...others] = [...new Set(prompts)].map((prompt) => ofPrompt(place, prompt, where));
  const { loras = [], warnings = [] } = first ?? {};
  const text = JSON.stringify(loras);
  if (others.some((other) => JSON.stringify(other.loras) !== text))
    throw invalidField(
      where,
      'the template chooses other LoRAs for each picture; send a job for each, or keep LoRAs out of its choices',
    );
  return { loras, warnings: [...new Set([...warnings, ...others.flatMap((other) => other.warnings)])] };
}
