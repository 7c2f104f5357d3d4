/**
 * Scripts of A1111. Of its extensions there is ControlNet: asking for another one is answered as A1111 does where it is not installed. Of the
 * scripts that it has built in, clients send those along that its page shows as parts of itself; by the API they do nothing there either.
 */

import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import { defineRoute, json } from '../../http/route.ts';
import type { SharedFields } from './generation-fields.ts';

const builtIn = ['comments', 'extra options', 'hypertile', 'refiner', 'sampler', 'seed'] as const;
/** By the second name clients tell that the extension is there. */
const listed = [...builtIn, 'controlnet', 'controlnet m2m'] as const;
const accepted: readonly string[] = [...builtIn, 'controlnet'];

/** Soft inpainting has an effect unless its first argument turns it off. */
const isOff = (name: string, given: unknown): boolean =>
  name === 'soft inpainting' &&
  [false, undefined].includes((given as { args?: readonly (boolean | undefined)[] } | null)?.args?.[0]);

const missing = (field: 'script_name' | 'alwayson_scripts', message: string): StableDiffusionError =>
  new StableDiffusionError('invalid-argument', message, { details: { where: ['body', field] } });

/** Throws `invalid-argument` for an unknown script. */
export function checkScripts({
  script_name,
  alwayson_scripts,
}: Pick<SharedFields, 'script_name' | 'alwayson_scripts'>): void {
  if (script_name) throw missing('script_name', `Script '${script_name.slice(0, 100)}' not found`);
  for (const [name, given] of Object.entries(alwayson_scripts ?? {})) {
    const lower = name.toLowerCase();
    if (!accepted.includes(lower) && !isOff(lower, given))
      throw missing('alwayson_scripts', `always on script ${name.slice(0, 100)} not found`);
  }
}

export const scripts = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/scripts',
  summary: 'Scripts accepted in requests',
  flavour: 'a1111',
  response: z.object({ txt2img: z.array(z.string()), img2img: z.array(z.string()) }),
  handle: async () => json({ txt2img: listed, img2img: listed }),
});
