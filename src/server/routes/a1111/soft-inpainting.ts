/** A1111's built-in script "Soft inpainting": enabled, and its settings in their order. */

import { softInpaintingArguments } from '../../../diffusion/soft-inpainting.ts';
import { softInpaintingField } from '../../../generation/mask-fields.ts';
import { invalidField } from '../../http/problem.ts';
import type { JobRequest } from '../../job.ts';
import type { SharedFields } from './generation-fields.ts';

export const softInpaintingScript = 'soft inpainting';

/** The script's settings in a request; undefined where it is off. Throws `invalid-argument` at an argument that is not valid. */
export function softInpaintingIn({
  alwayson_scripts: scripts,
}: Pick<SharedFields, 'alwayson_scripts'>): NonNullable<JobRequest['inpaint']>['soft'] {
  const [name, given] = Object.entries(scripts ?? {}).find(([one]) => one.toLowerCase() === softInpaintingScript) ?? [];
  const args: unknown = (given as { readonly args?: unknown } | null | undefined)?.args;
  if (name === undefined || !Array.isArray(args)) return undefined;
  const [enabled, ...settings] = args as unknown[];
  if (enabled === undefined || enabled === null || enabled === false) return undefined;
  const where = ['body', 'alwayson_scripts', name, 'args'];
  if (enabled !== true) throw invalidField([...where, 0], 'the first argument is true or false');
  const fields = softInpaintingArguments.flatMap(([, field], i) =>
    settings[i] === undefined || settings[i] === null ? [] : [[field, settings[i]] as const],
  );
  const parsed = softInpaintingField.safeParse(Object.fromEntries(fields));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = softInpaintingArguments.findIndex(([, field]) => field === issue?.path[0]);
  throw invalidField(
    [...where, at + 1],
    `${softInpaintingArguments[at]?.[0] ?? 'args'}: ${issue?.message ?? 'not valid'}`,
  );
}
