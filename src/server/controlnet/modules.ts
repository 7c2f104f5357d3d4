/**
 * The modules of sd-webui-controlnet 1.1.455 that this program has: the preprocessors, and those that hand the picture on. Names, labels,
 * groups, order and sliders are the extension's.
 */

import { referenceModes } from '../../diffusion/control/reference-modes.ts';
import { preprocessors } from '../../preprocessors/index.ts';
import type { PreprocessorSetting } from '../../preprocessors/preprocessor.ts';

export interface Slider {
  readonly name: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
}

export interface ControlModule {
  readonly name: string;
  /** As its page shows it; requests use either. */
  readonly label: string;
  /** Control types. */
  readonly tags: readonly string[];
  /** Undefined where the resolution has no effect. */
  readonly resolution?: Slider | undefined;
  readonly a?: Slider | undefined;
  readonly b?: Slider | undefined;
  /** The kind of network that it needs. */
  readonly network?: string | undefined;
  /** It needs no control network. */
  readonly modelFree: boolean;
  /** Its map is a picture; of others it is what an image encoder makes. */
  readonly drawsMap: boolean;
  readonly needsMask: boolean;
}

const resolution: Slider = { name: 'Resolution', value: 512, min: 64, max: 2048, step: 8 };

/** Higher ones come first. */
const priorities: Readonly<Record<string, number>> = {
  invert: 20,
  canny: 100,
  lineart_standard: 100,
  mlsd: 100,
  depth: 100,
  pidinet: 100,
  pidinet_scribble: 100,
  recolor_luminance: 100,
  tile_resample: 100,
  inpaint_only: 100,
  'ip-adapter_clip_sd15': 100,
  'ip-adapter-auto': 1000,
  reference_only: 100,
};

const withoutResolution: ReadonlySet<string> = new Set(['invert', 'shuffle', 'inpaint', 'inpaint_only']);
const furtherTags: Readonly<Record<string, readonly string[]>> = { none: ['InstructP2P'] };

function sliderOf(setting: PreprocessorSetting | undefined): Slider | undefined {
  if (!setting) return undefined;
  const { title, default: value, min, max, step } = setting;
  return { name: title, value, min, max, step };
}

const drawn = preprocessors.map(
  ({ name, title, types, a, b, network }): ControlModule => ({
    name,
    label: title,
    tags: furtherTags[name] ?? types,
    resolution: withoutResolution.has(name) ? undefined : resolution,
    a: sliderOf(a),
    b: sliderOf(b),
    network,
    modelFree: false,
    drawsMap: true,
    needsMask: false,
  }),
);

const variation: Slider = { name: 'Variation', value: 8, min: 3, max: 32, step: 1 };
const sharpness: Slider = { name: 'Sharpness', value: 1, min: 0, max: 2, step: 0.01 };
const fidelity: Slider = { name: 'Style Fidelity (only for Balanced mode)', value: 0.5, min: 0, max: 1, step: 0.01 };
const plain = { modelFree: false, drawsMap: true, needsMask: false, resolution };
const seen = { modelFree: false, drawsMap: false, needsMask: false, resolution };

const handedOn: readonly ControlModule[] = [
  {
    ...plain,
    name: 'inpaint',
    label: 'inpaint_global_harmonious',
    tags: ['Inpaint'],
    needsMask: true,
    resolution: undefined,
  },
  { ...plain, name: 'inpaint_only', label: 'inpaint_only', tags: ['Inpaint'], needsMask: true, resolution: undefined },
  { ...plain, name: 'tile_colorfix', label: 'tile_colorfix', tags: ['Tile'], a: variation },
  { ...plain, name: 'tile_colorfix+sharp', label: 'tile_colorfix+sharp', tags: ['Tile'], a: variation, b: sharpness },
  ...referenceModes.map((name) => ({
    ...plain,
    modelFree: true,
    name,
    label: name,
    tags: ['Reference'],
    resolution: undefined,
    a: fidelity,
  })),
  { ...seen, name: 'clip_vision', label: 't2ia_style_clipvision', tags: ['T2I-Adapter'] },
  { ...seen, name: 'ip-adapter_clip_sd15', label: 'ip-adapter_clip_h', tags: ['IP-Adapter'] },
  { ...seen, name: 'ip-adapter-auto', label: 'ip-adapter-auto', tags: ['IP-Adapter'] },
];

const rank = ({ name, label }: ControlModule): string => `${String(priorities[name] ?? 0).padStart(8, '0')}${label}`;

/** In the extension's order: `none`, then by priority and label. */
export const controlModules: readonly ControlModule[] = [
  ...drawn.filter(({ name }) => name === 'none'),
  ...[...drawn.filter(({ name }) => name !== 'none'), ...handedOn].sort((a, b) => (rank(a) < rank(b) ? 1 : -1)),
];

/** By its label or its name. */
export function findModule(name: string): ControlModule | undefined {
  return controlModules.find(({ label }) => label === name) ?? controlModules.find((one) => one.name === name);
}

/** Where the extension has no slider, this is what it counts a value to. */
const hidden: Slider = { name: '', value: 0.5, min: 0, max: 1, step: 0.01 };

/** A number of a unit: undefined, for the module's own, where it is out of bounds, as the extension corrects it. */
export function withinSlider(slider: Slider | undefined, value: number | undefined): number | undefined {
  const { min, max } = slider ?? hidden;
  return value === undefined || value < min || value > max ? undefined : value;
}

/** The module's own value of a number. */
export const ownValue = (slider: Slider | undefined): number => (slider ?? hidden).value;

/** Control types, as the extension lists them. */
export const controlTypes: readonly string[] = [
  'All',
  ...[...new Set(controlModules.flatMap(({ tags }) => tags))].sort(),
];

/** Parts of names by which models belong to a type. */
const nameParts: Readonly<Record<string, readonly string[]>> = {
  instructp2p: ['ip2p'],
  segmentation: ['seg'],
  normalmap: ['normal'],
  't2i-adapter': ['t2i_adapter', 't2iadapter', 't2ia'],
  'ip-adapter': ['ip_adapter', 'ipadapter'],
  openpose: ['densepose'],
  scribble: ['sketch'],
  tile: ['blur'],
};
const unionTypes = 'openpose depth softedge scribble canny lineart mlsd normalmap segmentation'.split(' ');

/** Whether a model's title belongs to a control type. */
export function isOfType(title: string, type: string): boolean {
  const tag = type.toLowerCase();
  const parts = [tag, ...(nameParts[tag] ?? []), ...(unionTypes.includes(tag) ? ['union'] : [])];
  return parts.some((part) => title.toLowerCase().includes(part));
}
