/** The widgets of a node on ComfyUI's page, in its order, and their values in a saved file. */

import type { ExactJson } from '../../formats/exact-json.ts';
import type { NodeType } from '../definition.ts';
import type { InputSpec } from '../input-spec.ts';
import { chosenText } from './dynamic-prompt.ts';
import type { PageNode } from './page-graph.ts';

export interface PageWidget {
  readonly name: string;
  /** Followed by a widget that says what becomes of the value after a run. */
  readonly hasControl: boolean;
  /** A text of which `{one|another}` is chosen when it is sent. */
  readonly isDynamic: boolean;
  /** Its value in a new node; undefined where that depends on the server's files. */
  readonly first: ExactJson | undefined;
}

const widgetTypes = new Set(['INT', 'FLOAT', 'STRING', 'BOOLEAN', 'COMBO']);
/** Whole numbers with these names have a control in any case. */
const seeds = new Set(['seed', 'noise_seed']);

function isWidget([type, settings]: InputSpec): boolean {
  return settings?.['forceInput'] !== true && (typeof type !== 'string' || widgetTypes.has(type));
}

/** The value of a new node's widget. Graphs of older versions have none for widgets that came later. */
function firstValue([type, settings]: InputSpec): ExactJson | undefined {
  const given = settings?.['default'];
  if (given !== undefined) return given as ExactJson;
  if (typeof type !== 'string') return 'folder' in type ? type.first?.[0] : type[0];
  if (type === 'COMBO') return (settings?.['options'] as readonly string[] | undefined)?.[0];
  if (type === 'STRING') return '';
  return type === 'BOOLEAN' ? false : 0;
}

/** The widgets of a class of nodes: its inputs that are no links. */
export function widgetsOf(type: NodeType): readonly PageWidget[] {
  return Object.entries({ ...type.required, ...type.optional }).flatMap(([name, spec]) => {
    if (!isWidget(spec)) return [];
    const [kind, settings] = spec;
    const control = settings?.['control_after_generate'];
    const hasControl = control === undefined ? kind === 'INT' && seeds.has(name) : control !== false;
    return [{ name, hasControl, isDynamic: settings?.['dynamicPrompts'] === true, first: firstValue(spec) }];
  });
}

const controls = new Set<ExactJson>(['fixed', 'increment', 'decrement', 'randomize', true, false]);

/** Values in order by the names of the widgets; a control is skipped, where the file has one. */
export function namedValues(
  widgets: readonly PageWidget[],
  values: readonly ExactJson[],
): ReadonlyMap<string, ExactJson> {
  const named = new Map<string, ExactJson>();
  let at = 0;
  for (const { name, hasControl } of widgets) {
    const value = values[at++];
    if (value === undefined) break;
    named.set(name, value);
    if (hasControl && at < values.length && controls.has(values[at] as ExactJson)) at += 1;
  }
  return named;
}

/** Samplers were once saved with this in front of their names. */
const withoutPrefix = (name: string, value: ExactJson): ExactJson =>
  name === 'sampler_name' && typeof value === 'string' ? value.replace(/^sample_/, '') : value;

/** The values of a node's widgets by name, as saved. Classes that are not known have those that are saved by name. */
export function savedValues({ values }: PageNode, type: NodeType | undefined): ReadonlyMap<string, ExactJson> {
  const widgets = type ? widgetsOf(type) : [];
  const first = widgets.flatMap(({ name, first: value }) => (value === undefined ? [] : [[name, value] as const]));
  if (Array.isArray(values)) return new Map([...first, ...namedValues(widgets, values as readonly ExactJson[])]);
  const names = new Set(widgets.map(({ name }) => name));
  return new Map([...first, ...Object.entries(values).filter(([name]) => !type || names.has(name))]);
}

/** A value as the page sends it: lists are marked, for they would be links; of texts with choices one is chosen. */
export function sentValue(
  name: string,
  value: ExactJson,
  widget: PageWidget | undefined,
  random: () => number,
): ExactJson {
  if (Array.isArray(value)) return { __value__: value };
  if (widget?.isDynamic && typeof value === 'string') return chosenText(value, random);
  return withoutPrefix(name, value);
}
