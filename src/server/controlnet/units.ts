/** Units of sd-webui-controlnet, in `alwayson_scripts` of A1111's requests, as controls of a job. */

import type { ControlKind } from '../../checkpoints/control-file.ts';
import { isReferenceMode, noControlModel } from '../../diffusion/control/reference-modes.ts';
import type { ServerContext } from '../context.ts';
import type { ControlPlace } from '../decide-controls.ts';
import type { JobDraft } from '../decide-job.ts';
import { atField, invalidField, unfit } from '../http/problem.ts';
import { type Caller, readPicture, storePicture } from '../http/picture-input.ts';
import { type JobControl, jobControlSchema, type JobImagePrompt, jobImagePromptSchema } from '../job-controls.ts';
import type { CatalogControl } from '../models/control-catalog.ts';
import { whyAbsent } from '../../preprocessors/absent-preprocessors.ts';
import { type ControlModule, findModule, withinSlider } from './modules.ts';
import { type ControlUnitFields, unitSchema } from './unit-fields.ts';

type Where = readonly (string | number)[];

export interface UnitControls {
  readonly draft: Pick<JobDraft, 'control' | 'imagePrompts'>;
  /** Where in the request each control is. */
  readonly place: ControlPlace;
}

interface Given {
  readonly picture: string | undefined;
  readonly mask: string | undefined;
}

const textOf = (value: string | null | undefined): string | undefined => (value ? value : undefined);

/** The pictures of a unit, each with its mask, in every form that the extension takes. */
function picturesOf({ image, mask }: ControlUnitFields): Given[] {
  const own = typeof mask === 'string' ? textOf(mask) : undefined;
  if (image === null) return [];
  if (typeof image === 'string') return image === '' ? [] : [{ picture: image, mask: own }];
  if (!Array.isArray(image)) return [{ picture: textOf(image.image), mask: textOf(image.mask) ?? own }];
  const [first, second] = image;
  if (typeof first === 'string' && image.length <= 2)
    return [{ picture: textOf(first), mask: typeof second === 'string' ? textOf(second) : own }];
  return image.flatMap((one): Given[] =>
    one === null
      ? []
      : [
          typeof one === 'string'
            ? { picture: one, mask: undefined }
            : { picture: textOf(one.image), mask: textOf(one.mask) },
        ],
  );
}

const isNone = (model: string | null): model is null =>
  model === null || model === '' || model.toLowerCase() === 'none';

/** A unit that does not say whether it is enabled is, if it names a model or a module that needs none. */
const isEnabled = ({ enabled, model, module }: ControlUnitFields): boolean =>
  enabled ?? (!isNone(model) || isReferenceMode(module));

function moduleOf({ module }: ControlUnitFields, where: Where): ControlModule {
  const name = module === null || module === '' || module.toLowerCase() === 'none' ? 'none' : module;
  const found = findModule(name);
  if (found) return found;
  const absent = whyAbsent(name);
  throw invalidField(
    [...where, 'module'],
    `module(${name.slice(0, 100)}) not found in supported modules.${absent ? ` ${absent}` : ''}`,
  );
}

const shareOf = (value: number | null, otherwise: number, where: Where): number => {
  if (value === null) return otherwise;
  if (value >= 0 && value <= 1) return value;
  throw invalidField(where, 'ensure this value is from 0 to 1');
};

interface UnitContext {
  readonly context: ServerContext;
  readonly caller: Caller;
  readonly where: Where;
}

async function store(
  { context, caller, where }: UnitContext,
  field: string,
  text: string | undefined,
): Promise<string | undefined> {
  if (text === undefined) return undefined;
  return atField(
    [...where, field],
    async () => (await storePicture(context, await readPicture(context, text.trim(), caller.signal), caller)).id,
  );
}

/** What a control and an image prompt have in common. */
async function commonOf(unit: ControlUnitFields, model: string, at: UnitContext) {
  const [start, end] = [
    shareOf(unit.guidance_start, 0, [...at.where, 'guidance_start']),
    shareOf(unit.guidance_end, 1, [...at.where, 'guidance_end']),
  ];
  const region = await store(at, 'effective_region_mask', textOf(unit.effective_region_mask));
  return { model, weight: unit.weight ?? 1, start, end, region };
}

async function controlOf(
  unit: ControlUnitFields,
  model: string,
  at: UnitContext,
  returnsMap: boolean,
): Promise<JobControl> {
  const module = moduleOf(unit, at.where);
  const [given, ...more] = picturesOf(unit);
  if (more.length > 0) throw invalidField([...at.where, 'image'], 'only an IP-Adapter takes several pictures');
  const own = typeof unit.mask === 'string' ? textOf(unit.mask) : undefined;
  const parsed = jobControlSchema.safeParse({
    ...(await commonOf(unit, model, at)),
    mode: unit.control_mode ?? undefined,
    passes: unit.hr_option ?? undefined,
    resize: unit.resize_mode ?? undefined,
    preprocessor: module.drawsMap ? unit.module || 'none' : 'none',
    resolution: module.resolution && withinSlider(module.resolution, unit.processor_res ?? undefined),
    pixelPerfect: unit.pixel_perfect ?? false,
    thresholdA: withinSlider(module.a, unit.threshold_a ?? undefined),
    thresholdB: withinSlider(module.b, unit.threshold_b ?? undefined),
    layerWeights: unit.advanced_weighting ?? undefined,
    picture: await store(at, 'image', given?.picture),
    mask: await store(at, 'mask', given?.mask ?? own),
    cropsPicture: !module.modelFree && (unit.inpaint_crop_input_image ?? true),
    returnsMap: returnsMap && (unit.save_detected_map ?? true),
  });
  if (!parsed.success) throw unfit(at.where, parsed.error);
  return parsed.data;
}

async function imagePromptOf(unit: ControlUnitFields, model: string, at: UnitContext): Promise<JobImagePrompt> {
  const module = moduleOf(unit, at.where);
  const refused = (field: string): never => {
    throw invalidField([...at.where, field], `${field} is not supported with an IP-Adapter`);
  };
  if (unit.advanced_weighting !== null) refused('advanced_weighting');
  const pictures: string[] = [];
  for (const { picture, mask } of picturesOf(unit)) {
    if (mask !== undefined) refused('mask');
    const id = await store(at, 'image', picture);
    if (id !== undefined) pictures.push(id);
  }
  if (pictures.length === 0)
    throw invalidField([...at.where, 'image'], 'controlnet is enabled but no input image is given');
  const given = { ...(await commonOf(unit, model, at)), pictures, module: unit.module || module.label };
  const parsed = jobImagePromptSchema.safeParse(given);
  if (!parsed.success) throw unfit(at.where, parsed.error);
  return parsed.data;
}

/** A model by its title or name. One that is not there is a wrong field. */
function modelNamed({ controls }: ServerContext, name: string, where: Where): CatalogControl {
  try {
    return controls.find(name);
  } catch (error) {
    throw invalidField(where, error instanceof Error ? error.message : `model(${name}) not found`);
  }
}

/** The model of a unit. Modules that need none take none, whatever the unit names. */
async function modelOf(
  unit: ControlUnitFields,
  { context, where }: UnitContext,
): Promise<{ readonly title: string; readonly kind: ControlKind }> {
  if (isReferenceMode(unit.module)) return { title: noControlModel, kind: 'reference' };
  const at = [...where, 'model'];
  if (isNone(unit.model)) throw invalidField(at, 'You have not selected any ControlNet Model.');
  const found = modelNamed(context, unit.model, at);
  const { kind } = await atField(at, () => context.controls.facts(found));
  return { title: found.title, kind };
}

/** The list of units in a request's `alwayson_scripts`, and the name under which it is there. */
export function unitsIn(
  scripts: Readonly<Record<string, unknown>>,
): { readonly name: string; readonly args: readonly unknown[] } | undefined {
  for (const [name, given] of Object.entries(scripts)) {
    if (name.toLowerCase() !== 'controlnet') continue;
    const args = (given as { readonly args?: unknown } | null)?.args;
    return { name, args: Array.isArray(args) ? args : [] };
  }
  return undefined;
}

/** Enabled units as controls. Throws `invalid-argument` and others at the unit's field. */
export async function unitControls(
  context: ServerContext,
  caller: Caller,
  scripts: Readonly<Record<string, unknown>>,
  { returnMaps, hasPicture }: { readonly returnMaps: boolean; readonly hasPicture: boolean },
): Promise<UnitControls> {
  const { name, args } = unitsIn(scripts) ?? { name: 'controlnet', args: [] };
  const control: JobControl[] = [];
  const imagePrompts: JobImagePrompt[] = [];
  const places = { control: [] as number[], imagePrompts: [] as number[] };
  const base: Where = ['body', 'alwayson_scripts', name, 'args'];
  for (const [i, given] of args.entries()) {
    // Other values than units are arguments of the extension's page.
    if (typeof given !== 'object' || given === null || Array.isArray(given)) continue;
    const where: Where = [...base, i];
    const read = unitSchema.safeParse(given);
    if (!read.success) throw unfit(where, read.error);
    const unit = read.data;
    if (!unit || !isEnabled(unit)) continue;
    if (unit.ipadapter_input !== undefined && unit.ipadapter_input !== null)
      throw invalidField([...where, 'ipadapter_input'], 'ipadapter_input is not supported; send pictures');
    if (control.length + imagePrompts.length >= context.limits.controls)
      throw invalidField(base, `ensure that at most ${context.limits.controls} units are enabled`);
    const at = { context, caller, where };
    const { title, kind } = await modelOf(unit, at);
    if (kind === 'ip_adapter') {
      places.imagePrompts.push(i);
      imagePrompts.push(await imagePromptOf(unit, title, at));
      continue;
    }
    places.control.push(i);
    const made = await controlOf(unit, title, at, returnMaps);
    if (made.picture === undefined && !hasPicture)
      throw invalidField([...where, 'image'], 'controlnet is enabled but no input image is given');
    control.push(made);
  }
  return {
    draft: {
      ...(control.length > 0 ? { control } : {}),
      ...(imagePrompts.length > 0 ? { imagePrompts } : {}),
    },
    place: (list, index, field) => [...base, places[list][index] ?? index, unitNames[field] ?? field],
  };
}

/** Names of a control's fields in a unit. */
const unitNames: Readonly<Record<string, string>> = {
  picture: 'image',
  preprocessor: 'module',
  start: 'guidance_start',
  end: 'guidance_end',
};
