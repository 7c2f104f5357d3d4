/**
 * Scripts of A1111. Of its extensions there is ControlNet: asking for another one is answered as A1111 does where it is not installed. Of the
 * scripts that it has built in, soft inpainting has an effect; clients send others along that its page shows as parts of itself, and by the API
 * they do nothing there either.
 */

import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import { defineRoute, json } from '../../http/route.ts';
import type { SharedFields } from './generation-fields.ts';
import { softInpaintingScript } from './soft-inpainting.ts';

const builtIn = ['comments', 'extra options', 'hypertile', 'refiner', 'sampler', 'seed', softInpaintingScript] as const;
/** By the second name clients tell that the extension is there. */
const listed = [...builtIn, 'controlnet', 'controlnet m2m'] as const;
const accepted: readonly string[] = [...builtIn, 'controlnet'];

const missing = (field: 'script_name' | 'alwayson_scripts', message: string): StableDiffusionError =>
  new StableDiffusionError('invalid-argument', message, { details: { where: ['body', field] } });

/** Throws `invalid-argument` for an unknown script. */
export function checkScripts({
  script_name,
  alwayson_scripts,
}: Pick<SharedFields, 'script_name' | 'alwayson_scripts'>): void {
  if (script_name)
    throw missing(
      'script_name',
      `Script '${script_name.slice(0, 100)}' not found. This server runs no scripts by script_name.`,
    );
  for (const name of Object.keys(alwayson_scripts ?? {})) {
    if (!accepted.includes(name.toLowerCase()))
      throw missing('alwayson_scripts', `always on script ${name.slice(0, 100)} not found`);
  }
}

export const scripts = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/scripts',
  summary: 'Scripts accepted in requests',
  flavour: 'a1111',
  response: z.object({ txt2img: z.array(z.string()), img2img: z.array(z.string()) }),
  handle: async () => json({ txt2img: listed.filter((name) => name !== softInpaintingScript), img2img: listed }),
});
