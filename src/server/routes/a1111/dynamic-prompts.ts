/** The extension sd-dynamic-prompts as a script that is always on: whether it is enabled, and its further arguments, of which none has an effect here. */

import { invalidField } from '../../http/problem.ts';
import type { SharedFields } from './generation-fields.ts';

/** Its title ends in its version. */
export const isDynamicPrompts = (name: string): boolean => /^dynamic prompts v[\d.]{1,20}$/i.test(name);

/** Its switches after the first, by their places (scripts/dynamic_prompting.py); those that are not named change nothing by the API. */
const switches: ReadonlyMap<number, string> = new Map([
  [1, 'combinatorial generation'],
  [3, 'magic prompts'],
  [4, "I'm feeling lucky"],
  [5, 'the attention grabber'],
  [10, 'a fixed seed'],
  [11, 'seeds unlinked from the prompt'],
  [13, 'Jinja2 templates'],
]);

/** Whether the prompts of a request are templates. Throws `invalid-argument` for what this program does not do. */
export function dynamicPromptsIn({
  alwayson_scripts: scripts,
}: Pick<SharedFields, 'alwayson_scripts'>): boolean | undefined {
  const [name, given] = Object.entries(scripts ?? {}).find(([one]) => isDynamicPrompts(one)) ?? [];
  if (name === undefined) return undefined;
  const args: unknown = (given as { readonly args?: unknown } | null | undefined)?.args;
  const list: readonly unknown[] = Array.isArray(args) ? args : [];
  if (list[0] === false || list[0] === null) return undefined;
  for (const [place, what] of switches)
    if (list[place] === true)
      throw invalidField(['body', 'alwayson_scripts', name, 'args', place], `${what}: not supported by this server`);
  return true;
}
