/** GET /controlnet/…: what sd-webui-controlnet (`scripts/api.py`, 1.1.455) tells of itself: version, models, modules, types, settings. */

import * as z from 'zod';
import { type ControlModule, controlModules, controlTypes, isOfType, type Slider } from '../../controlnet/modules.ts';
import type { ServerContext } from '../../context.ts';
import { defineRoute, json } from '../../http/route.ts';

const slider = z.object({ name: z.string(), value: z.number(), min: z.number(), max: z.number(), step: z.number() });

/** Modules whose network is there. */
const usable = ({ controls }: ServerContext): readonly ControlModule[] =>
  controlModules.filter(({ network }) => network === undefined || controls.annotatorPath(network) !== undefined);

/** `None` and the titles of all models, as its page lists them. */
const modelTitles = ({ controls }: ServerContext): readonly string[] => [
  'None',
  ...controls.list().map(({ title }) => title),
];

const flagOf = (otherwise: boolean) =>
  z
    .string()
    .optional()
    .transform((text) =>
      text === undefined ? otherwise : ['1', 'true', 'on', 'yes', 'y', 't'].includes(text.toLowerCase()),
    );

export const controlVersion = defineRoute({
  method: 'GET',
  path: '/controlnet/version',
  summary: "Version of the extension's API",
  flavour: 'a1111',
  response: z.object({ version: z.int() }),
  handle: async () => json({ version: 3 }),
});

export const controlModelList = defineRoute({
  method: 'GET',
  path: '/controlnet/model_list',
  summary: 'ControlNets, T2I-Adapters and IP-Adapters; `update` (default true) rescans their folders',
  flavour: 'a1111',
  query: z.object({ update: flagOf(true) }),
  response: z.object({ model_list: z.array(z.string()) }),
  async handle(context, { query: { update } }) {
    if (update) await context.controls.refresh();
    return json({ model_list: context.controls.list().map(({ title }) => title) });
  },
});

export const controlModuleList = defineRoute({
  method: 'GET',
  path: '/controlnet/module_list',
  summary: 'Preprocessors with their sliders; `alias_names` for the names that people see',
  flavour: 'a1111',
  query: z.object({ alias_names: flagOf(false) }),
  response: z.object({
    module_list: z.array(z.string()),
    module_detail: z.record(z.string(), z.object({ model_free: z.boolean(), sliders: z.array(slider) })),
  }),
  async handle(context, { query: { alias_names: byLabel } }) {
    const modules = usable(context);
    const nameOf = ({ name, label }: ControlModule): string => (byLabel ? label : name);
    const detail = modules.map((module) => {
      const sliders = [module.resolution, module.a, module.b].filter((one): one is Slider => one !== undefined);
      return [nameOf(module), { model_free: module.modelFree, sliders }] as const;
    });
    return json({ module_list: modules.map(nameOf), module_detail: Object.fromEntries(detail) });
  },
});

const typeSchema = z.object({
  module_list: z.array(z.string()),
  model_list: z.array(z.string()),
  default_option: z.string(),
  default_model: z.string(),
});

function typeOf(context: ServerContext, type: string): z.output<typeof typeSchema> {
  const modules = usable(context);
  const titles = modelTitles(context);
  if (type === 'All')
    return {
      module_list: modules.map(({ label }) => label),
      model_list: [...titles],
      default_option: 'none',
      default_model: 'None',
    };
  const labels = modules.filter(({ label, tags }) => label === 'none' || tags.includes(type)).map(({ label }) => label);
  const models = titles.filter((title) => title === 'None' || isOfType(title, type));
  return {
    module_list: labels,
    model_list: models,
    default_option: labels[1] ?? 'none',
    default_model: models.find((title) => title.split('[')[0]?.includes('11')) ?? models[1] ?? 'None',
  };
}

export const controlTypeList = defineRoute({
  method: 'GET',
  path: '/controlnet/control_types',
  summary: 'Preprocessors and models by what they control',
  flavour: 'a1111',
  response: z.object({ control_types: z.record(z.string(), typeSchema) }),
  handle: async (context) =>
    json({ control_types: Object.fromEntries(controlTypes.map((type) => [type, typeOf(context, type)])) }),
});

export const controlSettings = defineRoute({
  method: 'GET',
  path: '/controlnet/settings',
  summary: 'Number of units that a request may have',
  flavour: 'a1111',
  response: z.object({ control_net_unit_count: z.int() }),
  handle: async ({ limits }) => json({ control_net_unit_count: limits.controls }),
});
