/**
 * Scripts of A1111. `alwayson_scripts`: of its extensions there is ControlNet, and of the scripts that it has built in, soft inpainting has an
 * effect; clients send others along that its page shows as parts of itself, and by the API they do nothing there either. `script_name` chooses
 * one of the table. Asking for another one is answered as A1111 does where it is not installed.
 */

import * as z from 'zod';
import { StableDiffusionError } from '../../../../errors.ts';
import { defineRoute, json } from '../../../http/route.ts';
import type { SharedFields } from '../generation-fields.ts';
import { isDynamicPrompts } from '../dynamic-prompts.ts';
import { softInpaintingScript } from '../soft-inpainting.ts';
import { loopbackScript, upscaleScript } from './again.ts';
import { outpaintingMk2, poorMansOutpainting } from './outpainting.ts';
import { plotScript } from './plot.ts';
import { linesScript, matrixScript } from './prompts.ts';
import { Arguments, type Script } from './script.ts';

const builtIn = ['comments', 'extra options', 'hypertile', 'refiner', 'sampler', 'seed', softInpaintingScript] as const;
/** By the second name clients tell that the extension is there. */
const listed = [...builtIn, 'controlnet', 'controlnet m2m'] as const;
const accepted: readonly string[] = [...builtIn, 'controlnet'];

const selectable: readonly Script[] = [
  loopbackScript,
  outpaintingMk2,
  poorMansOutpainting,
  matrixScript,
  linesScript,
  upscaleScript,
  plotScript,
];

const missing = (field: 'script_name' | 'alwayson_scripts', message: string): StableDiffusionError =>
  new StableDiffusionError('invalid-argument', message, { details: { where: ['body', field] } });

type Task = Script['tasks'][number];
type Choice = Pick<SharedFields, 'script_name' | 'script_args' | 'alwayson_scripts'>;

const scriptsOf = (task: Task): readonly Script[] => selectable.filter(({ tasks }) => tasks.includes(task));

/** Throws `invalid-argument` for an unknown script that is always on. */
export function checkScripts({ alwayson_scripts }: Choice): void {
  for (const name of Object.keys(alwayson_scripts ?? {})) {
    if (!accepted.includes(name.toLowerCase()) && !isDynamicPrompts(name))
      throw missing('alwayson_scripts', `always on script ${name.slice(0, 100)} not found`);
  }
}

/** The chosen script with its arguments; undefined for none. Throws `invalid-argument` for one that is not there. */
export function chosenScript(
  { script_name: name, script_args: args }: Choice,
  task: Task,
): { readonly script: Script; readonly args: Arguments } | undefined {
  if (!name) return undefined;
  const script = scriptsOf(task).find(({ title }) => title.toLowerCase() === name.toLowerCase());
  if (!script) {
    const names = scriptsOf(task).map(({ title }) => title);
    throw missing('script_name', `Script '${name.slice(0, 100)}' not found. This server has: ${names.join(', ')}.`);
  }
  return { script, args: new Arguments(args ?? [], script.args(task === 'img2img')) };
}

export const scripts = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/scripts',
  summary: 'Scripts accepted in requests',
  flavour: 'a1111',
  response: z.object({ txt2img: z.array(z.string()), img2img: z.array(z.string()) }),
  handle: async () => {
    const names = (task: Task): string[] => scriptsOf(task).map(({ title }) => title.toLowerCase());
    return json({
      txt2img: [...names('txt2img'), ...listed.filter((name) => name !== softInpaintingScript)],
      img2img: [...names('img2img'), ...listed],
    });
  },
});

export const scriptInfo = defineRoute({
  method: 'GET',
  path: '/sdapi/v1/script-info',
  summary: 'The scripts of script_name, and their arguments',
  flavour: 'a1111',
  response: z.array(
    z.object({ name: z.string(), is_alwayson: z.boolean(), is_img2img: z.boolean(), args: z.array(z.unknown()) }),
  ),
  handle: async () =>
    json(
      (['txt2img', 'img2img'] as const).flatMap((task) =>
        scriptsOf(task).map(({ title, args }) => ({
          name: title.toLowerCase(),
          is_alwayson: false,
          is_img2img: task === 'img2img',
          args: args(task === 'img2img').map(({ label, value, minimum, maximum, step, choices }) => ({
            label,
            value,
            minimum: minimum ?? null,
            maximum: maximum ?? null,
            step: step ?? null,
            choices: choices ?? null,
          })),
        })),
      ),
    ),
});
