/** Scripts of A1111's extensions: there are none. Asking for one is answered as A1111 does where the extension is not installed. */

import { StableDiffusionError } from '../../../errors.ts';
import type { SharedFields } from './generation-fields.ts';

const missing = (message: string): StableDiffusionError => new StableDiffusionError('invalid-argument', message, { details: { where: ['body', 'alwayson_scripts'] } });

/** Scripts that clients send along whether they are wanted or not, and that do nothing without arguments that turn them on. */
export function noScripts({ script_name, alwayson_scripts }: Pick<SharedFields, 'script_name' | 'alwayson_scripts'>): void {
  if (script_name) throw missing(`Script '${script_name.slice(0, 100)}' not found`);
  for (const name of Object.keys(alwayson_scripts ?? {})) throw missing(`always on script ${name.slice(0, 100)} not found`);
}
