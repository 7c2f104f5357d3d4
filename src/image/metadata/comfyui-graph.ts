/** The settings of a graph in ComfyUI's API form, as far as A1111 has names for them: of its sampler, and what that sampler is given. */

import type { InfotextContent } from './infotext.ts';
import { comfySampling, type SettingRow } from './sampler-labels.ts';
import { modelName } from './setting-values.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Nodes that are passed on the way from the sampler to a text or a file. */
const longestWay = 64;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const inputsOf = (node: unknown): Fields => (isFields(node) && isFields(node['inputs']) ? node['inputs'] : {});

const classOf = (node: unknown): string =>
  isFields(node) && typeof node['class_type'] === 'string' ? node['class_type'] : '';

/** The node that an input comes from. */
function linked(graph: Fields, value: unknown): unknown {
  const [from] = Array.isArray(value) ? (value as unknown[]) : [];
  return typeof from === 'string' && Object.hasOwn(graph, from) ? graph[from] : undefined;
}

/** The node and those behind it, through inputs of these names; each once. */
function* chain(graph: Fields, start: unknown, inputs: readonly string[]): Generator<Fields> {
  const seen = new Set<unknown>();
  const next = [start];
  for (let node = next.shift(); node !== undefined && seen.size < longestWay; node = next.shift()) {
    if (seen.has(node)) continue;
    seen.add(node);
    const own = inputsOf(node);
    yield own;
    next.push(...inputs.map((name) => linked(graph, own[name])).filter((found) => found !== undefined));
  }
}

/** A value of a node's own, or of a node of primitives that it is connected with. */
function plainValue(graph: Fields, value: unknown): string | number | undefined {
  const found = Array.isArray(value) ? Object.values(inputsOf(linked(graph, value)))[0] : value;
  return typeof found === 'string' || typeof found === 'number' ? found : undefined;
}

function promptOf(graph: Fields, start: unknown): string {
  const ways = ['conditioning', 'conditioning_1', 'conditioning_to', 'positive', 'negative', 'base_positive'];
  for (const own of chain(graph, start, ways)) {
    const text = plainValue(graph, own['text'] ?? own['text_g']);
    if (typeof text === 'string') return text;
  }
  return '';
}

/** Undefined where no node samples: workflows that only change pictures, and JSON of another kind. */
export function comfyGraphSettings(graph: Fields): InfotextContent | undefined {
  const samplers = Object.values(graph).filter((node) => /^KSampler(?:Advanced)?$/.test(classOf(node)));
  // Of several the one that begins: what the others are given comes from a sampler.
  const first = samplers.find((node) => {
    const latents = [...chain(graph, linked(graph, inputsOf(node)['latent_image']), ['samples', 'latent_image'])];
    return !latents.some((own) => 'sampler_name' in own);
  });
  if (first === undefined) return undefined;
  const own = inputsOf(first);
  const number = (name: string): number | undefined => {
    const value = plainValue(graph, own[name]);
    return typeof value === 'number' ? value : undefined;
  };
  const models = [...chain(graph, linked(graph, own['model']), ['model'])];
  const latents = [...chain(graph, linked(graph, own['latent_image']), ['samples', 'pixels', 'image'])];
  const [width, height] = latents
    .map((latent) => [plainValue(graph, latent['width']), plainValue(graph, latent['height'])])
    .find(([, tall]) => tall !== undefined) ?? [undefined, undefined];
  const loras = models.flatMap(({ lora_name, strength_model = 1 }) =>
    typeof lora_name === 'string' ? [`${modelName(lora_name)}: ${plainValue(graph, strength_model)}`] : [],
  );
  const denoise = number('denoise');
  const settings: readonly SettingRow[] = [
    ['Steps', number('steps')],
    ...comfySampling(plainValue(graph, own['sampler_name']), plainValue(graph, own['scheduler'])),
    ['CFG scale', number('cfg')],
    ['Seed', number('seed') ?? number('noise_seed')],
    ['Size', width === undefined ? undefined : `${width}x${height}`],
    [
      'Model',
      models.map(({ ckpt_name, unet_name }) => modelName(ckpt_name ?? unet_name)).find((name) => name !== undefined),
    ],
    ['Denoising strength', denoise !== undefined && denoise < 1 ? denoise : undefined],
    ['Lora weights', loras.length > 0 ? loras.join(', ') : undefined],
    ['Version', 'ComfyUI'],
  ];
  return {
    prompt: promptOf(graph, linked(graph, own['positive'])),
    negativePrompt: promptOf(graph, linked(graph, own['negative'])),
    settings,
  };
}
