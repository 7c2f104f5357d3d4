/** Control networks and preprocessors of a server, by the routes of A1111's ControlNet extension, which both of its APIs have. */

import { bareName, type ControlUnit, noNetwork } from '../settings/control-units.ts';
import type { ControlChoices, PictureEngine, PictureJob } from './picture-engine.ts';
import { ask, base64Of, blobOf, type ServerAddress, ServerError } from './server-request.ts';

interface TypeInfo {
  readonly module_list: readonly string[];
  readonly model_list: readonly string[];
  readonly default_option: string;
}

/** Preprocessors that make no map of a picture: they paint, or belong to image prompts. */
const withoutMap = /^(?:inpaint|ip-adapter|clip_|t2ia_style|revision|reference|instant_id)/;

const none: ControlChoices = { models: [], modules: [], references: [] };

const read = async <T>(server: ServerAddress, path: string): Promise<T> =>
  (await (await ask(server, `controlnet/${path}`)).json()) as T;

/** What the server has; nothing if it lacks the extension. */
async function controlChoices(server: ServerAddress): Promise<ControlChoices> {
  try {
    const [{ model_list: titles }, { module_list: names }, { module_list: labels }, { control_types: types }] =
      await Promise.all([
        read<{ readonly model_list: readonly string[] }>(server, 'model_list'),
        read<{ readonly module_list: readonly string[] }>(server, 'module_list'),
        read<{ readonly module_list: readonly string[] }>(server, 'module_list?alias_names=true'),
        read<{ readonly control_types: Readonly<Record<string, TypeInfo>> }>(server, 'control_types'),
      ]);
    const modules = names
      .map((name, i) => ({ name, label: labels[i] ?? name }))
      .filter(({ name, label }) => !withoutMap.test(name) && !withoutMap.test(label));
    const isImagePrompt = (title: string): boolean => types['IP-Adapter']?.model_list.includes(title) ?? false;
    const usual = (title: string): string => {
      const [, own] =
        Object.entries(types).find(([type, { model_list }]) => type !== 'All' && model_list.includes(title)) ?? [];
      return modules.find(({ label }) => label === own?.default_option)?.name ?? 'none';
    };
    const references = names.filter((name) => name.startsWith('reference_')).sort();
    const [reference] = references.toReversed();
    return {
      models: [
        ...titles.map((title) => ({ title, isImagePrompt: isImagePrompt(title), preprocessor: usual(title) })),
        ...(reference === undefined ? [] : [{ title: noNetwork, isImagePrompt: false, preprocessor: reference }]),
      ],
      modules,
      references,
    };
  } catch (error) {
    if (error instanceof ServerError && (error.status === 404 || error.status === 405)) return none;
    throw error;
  }
}

/** The map that a preprocessor makes of a picture. */
async function controlMap(server: ServerAddress, preprocessor: string, picture: Blob): Promise<Blob> {
  const response = await ask(server, 'controlnet/detect', {
    body: { controlnet_module: preprocessor, controlnet_input_images: [await base64Of(picture)] },
  });
  const { images } = (await response.json()) as { readonly images: readonly string[] };
  if (images[0] === undefined) throw new Error('The server made no map of this picture.');
  return blobOf(images[0]);
}

export type ServerControls = Required<Pick<PictureEngine, 'controls' | 'controlMap'>>;

/** The controls of an engine that works on a server. It reads the choices once, and again after an error. */
export function serverControls(server: ServerAddress): ServerControls {
  let choices: Promise<ControlChoices> | undefined;
  return {
    controls() {
      choices ??= controlChoices(server).catch((error: unknown) => {
        choices = undefined;
        throw error;
      });
      return choices;
    },
    controlMap: (preprocessor, picture) => controlMap(server, preprocessor, picture),
  };
}

/** The title that a server knows a unit's network by, which a picture may name otherwise. */
const known = ({ models }: ControlChoices, { model }: ControlUnit) =>
  models.find(({ title }) => title === model) ?? models.find(({ title }) => bareName(title) === bareName(model));

const pictureOf = async (
  { controlPictures = {} }: PictureJob,
  { id }: ControlUnit,
): Promise<{ readonly picture?: string }> => {
  const picture = controlPictures[id];
  return picture ? { picture: await base64Of(picture) } : {};
};

/** `control` and `imagePrompts` of a job of the jobs API. */
export async function controlFields(job: PictureJob, choices: ControlChoices): Promise<object> {
  const control: object[] = [];
  const imagePrompts: object[] = [];
  for (const unit of job.settings.controls) {
    const { id: _, model, preprocessor, mode, ...same } = unit;
    const found = known(choices, unit);
    const given = await pictureOf(job, unit);
    if (found?.isImagePrompt)
      imagePrompts.push({ ...same, model: found.title, pictures: given.picture === undefined ? [] : [given.picture] });
    else control.push({ ...same, model: found?.title ?? model, preprocessor, mode, pixelPerfect: true, ...given });
  }
  return { ...(control.length > 0 ? { control } : {}), ...(imagePrompts.length > 0 ? { imagePrompts } : {}) };
}

const a1111Modes = {
  balanced: 'Balanced',
  prompt: 'My prompt is more important',
  control: 'ControlNet is more important',
} as const;

/** The same for A1111's API: the units of its extension. */
export async function controlScripts(job: PictureJob, choices: ControlChoices): Promise<object> {
  if (job.settings.controls.length === 0) return {};
  const args: object[] = [];
  for (const unit of job.settings.controls) {
    const found = known(choices, unit);
    const { picture } = await pictureOf(job, unit);
    args.push({
      enabled: true,
      module: found?.isImagePrompt ? 'ip-adapter-auto' : unit.preprocessor,
      model: found?.title ?? unit.model,
      weight: unit.weight,
      guidance_start: unit.start,
      guidance_end: unit.end,
      control_mode: a1111Modes[unit.mode],
      pixel_perfect: true,
      ...(picture === undefined ? {} : { image: picture }),
    });
  }
  return { alwayson_scripts: { controlnet: { args } } };
}
