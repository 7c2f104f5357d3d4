/** `--dynamic-prompts`: the prompt is a template, and each picture has its own prompt of it, by its seed. */

import { seedOf } from '../random/plain-seed.ts';
import type { GenerationValues } from './generation-options.ts';
import { UsageError } from './options.ts';
import type { Prompts } from './prompts.ts';

type Values = Pick<GenerationValues, 'dynamicPrompts' | 'wildcards' | 'seed' | 'samples' | 'iterations' | 'negative'>;

/** Prompts and values of a run whose templates are resolved. Throws `UsageError`, `invalid-argument`, `file-not-found`. */
export async function resolvePrompts<V extends Values>(
  given: Prompts,
  values: V,
): Promise<{ readonly prompts: Prompts; readonly values: V }> {
  if (!values.dynamicPrompts) return { prompts: given, values };
  const { resolveDynamicPrompt } = await import('../prompt/dynamic-prompt.ts');
  const { openWildcards } = await import('../prompt/wildcard-folder-node.ts');
  const wildcards = values.wildcards === undefined ? undefined : await openWildcards(values.wildcards);
  const first = BigInt(seedOf(values.seed ?? 42));
  const resolved = (template: string, i: number): string =>
    resolveDynamicPrompt(template, first + BigInt(i), wildcards);
  const negative = values.negative === undefined ? undefined : resolved(values.negative, 0);
  if (given.fromFile) {
    if ((values.iterations ?? 1) > 1) throw new UsageError('--dynamic-prompts with --from-file makes one iteration.');
    return { prompts: { ...given, lines: given.lines.map(resolved) }, values: { ...values, negative } };
  }
  const count = (values.samples ?? 1) * (values.iterations ?? 1);
  const lines = given.lines.flatMap((line) => Array.from({ length: count }, (_, i) => resolved(line, i)));
  return {
    prompts: { lines, fromFile: lines.length > 1 },
    values: { ...values, negative, iterations: undefined },
  };
}
