/**
 * Settings that other programs keep as JSON in their pictures, as A1111's text: InvokeAI (`invokeai_metadata` since 3.0,
 * invokeai/app/invocations/metadata.py; `sd-metadata` of 2.x), Fooocus (modules/meta_parser.py, the scheme "fooocus") and SwarmUI
 * (`sui_image_params`). Of ComfyUI's graph the settings of its first sampler.
 */

import { comfyGraphSettings } from './comfyui-graph.ts';
import { formatInfotext, type InfotextContent, type InfotextValue } from './infotext.ts';
import { comfySampling, invokeSampling, type SettingRow } from './sampler-labels.ts';
import { modelName, text } from './setting-values.ts';

type Fields = Readonly<Record<string, unknown>>;
type Settings = readonly SettingRow[];

export interface OtherSettings {
  /** A1111's text. */
  readonly parameters: string;
  /** Keyword of the text that it was read from. */
  readonly keyword: string;
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function fieldsOf(json: string | undefined): Fields | undefined {
  if (json === undefined || !/^\s*\{/.test(json)) return undefined;
  try {
    const value: unknown = JSON.parse(json);
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** A setting as it is written; lists and objects have no place in a line of settings. */
function plain(value: unknown): InfotextValue | undefined {
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  return text(value);
}

/** Programs write whole numbers as texts too. */
const whole = (value: unknown): number | undefined => {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) ? number : undefined;
};

const size = (width: unknown, height: unknown): string | undefined =>
  whole(width) === undefined || whole(height) === undefined ? undefined : `${whole(width)}x${whole(height)}`;

/** `NAME: WEIGHT, …`, as Fooocus writes them in A1111's text. */
function loraWeights(loras: readonly (readonly [name: unknown, weight: unknown])[]): string | undefined {
  const known = loras.flatMap(([name, weight]) => {
    const [file, strength] = [modelName(name), plain(weight)];
    return file === undefined || file === 'None' || strength === undefined ? [] : [`${file}: ${strength}`];
  });
  return known.length > 0 ? known.join(', ') : undefined;
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);

/** A model of InvokeAI, by the fields of its several versions. */
function invokeModel(value: unknown): string | undefined {
  if (!isFields(value)) return modelName(value);
  return modelName(value['name'] ?? value['model_name'] ?? value['key']);
}

function invokeAi(told: Fields): InfotextContent | undefined {
  if (!('positive_prompt' in told || 'negative_prompt' in told || 'scheduler' in told || 'seed' in told))
    return undefined;
  const layers = whole(told['clip_skip']);
  const loras = list(told['loras']).filter(isFields);
  const version = text(told['app_version']);
  const both = told['seamless_x'] === true && told['seamless_y'] === true;
  const settings: Settings = [
    ['Steps', whole(told['steps'])],
    ...invokeSampling(told['scheduler']),
    ['CFG scale', plain(told['cfg_scale'])],
    ['CFG rescale', plain(told['cfg_rescale_multiplier'] || undefined)],
    ['Seed', plain(told['seed'])],
    ['Size', size(told['width'], told['height'])],
    ['Model', invokeModel(told['model'])],
    ['VAE', invokeModel(told['vae'])],
    ['Denoising strength', plain(told['strength'])],
    ['Clip skip', layers ? layers + 1 : undefined],
    ['Tiling', both ? true : undefined],
    ['Seamless', told['seamless_x'] === told['seamless_y'] ? undefined : told['seamless_x'] === true ? 'x' : 'y'],
    ['Style prompt', text(told['positive_style_prompt'])],
    ['Negative style prompt', text(told['negative_style_prompt'])],
    ['Refiner', invokeModel(told['refiner_model'])],
    ['Refiner switch at', plain(told['refiner_start'])],
    ['Lora weights', loraWeights(loras.map(({ lora, model, weight }) => [invokeModel(model ?? lora), weight]))],
    ['Version', version === undefined ? 'InvokeAI' : `InvokeAI ${version}`],
  ];
  return { prompt: text(told['positive_prompt']) ?? '', negativePrompt: text(told['negative_prompt']) ?? '', settings };
}

/** InvokeAI 2.x: the negative prompt stands in brackets within the prompt. */
function invokeAi2(told: Fields): InfotextContent | undefined {
  const image = told['image'];
  if (!isFields(image)) return undefined;
  const given = image['prompt'];
  const parts = typeof given === 'string' ? [given] : list(given).map((part) => isFields(part) && text(part['prompt']));
  const written = parts.filter((part) => typeof part === 'string').join(' ');
  const negative = [...written.matchAll(/\[([^\][]*)\]/g)].map(([, inner = '']) => inner.trim());
  const version = text(told['app_version']);
  return {
    prompt: written.replaceAll(/\[[^\][]*\]/g, '').trim(),
    negativePrompt: negative.join(', '),
    settings: [
      ['Steps', whole(image['steps'])],
      ...invokeSampling(image['sampler']),
      ['CFG scale', plain(image['cfg_scale'])],
      ['Seed', plain(image['seed'])],
      ['Size', size(image['width'], image['height'])],
      ['Model hash', text(told['model_hash'])?.slice(0, 10)],
      ['Model', modelName(told['model_weights'] ?? told['model_id'])],
      ['Denoising strength', plain(image['strength'])],
      ['Tiling', image['seamless'] === true ? true : undefined],
      ['Version', version === undefined ? 'InvokeAI' : `InvokeAI ${version}`],
    ],
  };
}

/** Fooocus's own names; its older versions write the labels of its page. */
function fooocus(told: Fields): InfotextContent | undefined {
  const get = (key: string, label: string): unknown => told[key] ?? told[label];
  const version = text(get('version', 'Version'));
  if (!version?.startsWith('Fooocus') && get('guidance_scale', 'Guidance Scale') === undefined) return undefined;
  const [, width, height] =
    /^\s*\(\s*(\d{1,6})\s*,\s*(\d{1,6})\s*\)\s*$/.exec(String(get('resolution', 'Resolution'))) ?? [];
  const combined = Object.entries(told).flatMap(([key, value]) => {
    const parts = /^(?:lora_combined_|LoRA )\d/.test(key) ? (text(value)?.split(' : ') ?? []) : [];
    // Newer versions write first whether it is on.
    return parts.length === 0 || parts.at(-3) === 'False' ? [] : [[parts.at(-2), parts.at(-1)] as const];
  });
  const loras = list(told['loras']).map((row) => [list(row)[0], list(row)[1]] as const);
  const refiner = modelName(get('refiner_model', 'Refiner Model'));
  return {
    prompt: text(get('prompt', 'Prompt')) ?? '',
    negativePrompt: text(get('negative_prompt', 'Negative Prompt')) ?? '',
    settings: [
      ['Steps', whole(get('steps', 'Steps'))],
      ...comfySampling(get('sampler', 'Sampler'), get('scheduler', 'Scheduler')),
      ['CFG scale', plain(get('guidance_scale', 'Guidance Scale'))],
      ['Seed', plain(get('seed', 'Seed'))],
      ['Size', size(width, height)],
      ['Model hash', text(told['base_model_hash'])],
      ['Model', modelName(get('base_model', 'Base Model'))],
      ['VAE', modelName(get('vae', 'VAE'))],
      ['Performance', text(get('performance', 'Performance'))],
      ['Styles', text(get('styles', 'Styles'))],
      ['Sharpness', plain(get('sharpness', 'Sharpness'))],
      ['ADM Guidance', text(get('adm_guidance', 'ADM Guidance'))],
      ['FreeU', text(get('freeu', 'FreeU'))],
      ['Refiner', refiner === 'None' ? undefined : refiner],
      ['Refiner switch at', refiner === 'None' ? undefined : plain(get('refiner_switch', 'Refiner Switch'))],
      ['Lora weights', loraWeights(loras.length > 0 ? loras : combined)],
      ['Version', version],
    ],
  };
}

function swarmUi(told: Fields): InfotextContent | undefined {
  const given = told['sui_image_params'];
  if (!isFields(given)) return undefined;
  const weights = list(given['loraweights']);
  const version = text(given['swarm_version']);
  return {
    prompt: text(given['prompt']) ?? '',
    negativePrompt: text(given['negativeprompt']) ?? '',
    settings: [
      ['Steps', whole(given['steps'])],
      ...comfySampling(given['sampler'] ?? given['comfyuisampler'], given['scheduler'] ?? given['comfyuischeduler']),
      ['CFG scale', plain(given['cfgscale'])],
      ['Seed', plain(given['seed'])],
      ['Size', size(given['width'], given['height'])],
      ['Model', modelName(given['model'])],
      ['VAE', modelName(given['vae'])],
      ['Variation seed', plain(given['variationseed'])],
      ['Variation seed strength', plain(given['variationseedstrength'])],
      ['Lora weights', loraWeights(list(given['loras']).map((name, i) => [name, weights[i] ?? 1]))],
      ['Version', version === undefined ? 'SwarmUI' : `SwarmUI ${version}`],
    ],
  };
}

/** Which text holds whose settings; the first that can be read counts. */
const programs: readonly (readonly [keyword: string, read: (told: Fields) => InfotextContent | undefined])[] = [
  ['invokeai_metadata', invokeAi],
  ['sd-metadata', invokeAi2],
  ['Sd-metadata', invokeAi2],
  ['parameters', swarmUi],
  ['parameters', fooocus],
  ['prompt', comfyGraphSettings],
];

/** Undefined for pictures without settings of these programs, and for settings that are damaged. `texts` by keyword. */
export function otherSettings(texts: ReadonlyMap<string, string>): OtherSettings | undefined {
  for (const [keyword, read] of programs) {
    const told = fieldsOf(texts.get(keyword));
    const found = told && read(told);
    if (found) return { parameters: formatInfotext(found), keyword };
  }
  return undefined;
}
