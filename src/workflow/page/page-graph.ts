/**
 * A workflow as ComfyUI's page saves it: nodes with the values of their widgets in order, links by number, and definitions of subgraphs and
 * group nodes. Read from a parsed file; what is no node or link is left out, as on the page.
 */

import { StableDiffusionError } from '../../errors.ts';
import { type ExactJson, type ExactObject, isExactObject } from '../../formats/exact-json.ts';
import { maximumNodes } from '../graph.ts';

export interface PageInput {
  readonly name: string;
  readonly type: string;
  /** Key of the link that ends here. */
  readonly link: string | undefined;
  /** The widget that the input takes the place of. */
  readonly widget: string | undefined;
}

/** What nodes do: run, be left out with all that follows, or pass their inputs on. */
export type PageMode = 'run' | 'muted' | 'bypassed';

export interface PageNode {
  readonly id: string;
  readonly type: string;
  readonly mode: PageMode;
  readonly title: string | undefined;
  /** Name by which texts of other nodes refer to it. */
  readonly replaceName: string | undefined;
  /** Place in the order in which the page runs nodes. */
  readonly order: number;
  readonly inputs: readonly PageInput[];
  readonly outputTypes: readonly string[];
  /** In the order of the widgets, or by name. */
  readonly values: readonly ExactJson[] | ExactObject;
  /** The widgets of a subgraph's node are those of nodes inside it, which have the values. */
  readonly hasProxies: boolean;
}

export interface PageLink {
  readonly origin: string;
  readonly originSlot: number;
  readonly target: string;
  readonly targetSlot: number;
}

export interface PageGraph {
  readonly nodes: ReadonlyMap<string, PageNode>;
  readonly links: ReadonlyMap<string, PageLink>;
}

/** Ids of the nodes that stand for the inputs and outputs of a subgraph inside it. */
export const subgraphInput = '-10';
export const subgraphOutput = '-20';

export interface Subgraph extends PageGraph {
  /** Names of its inputs, in order. */
  readonly inputs: readonly string[];
}

export interface PageWorkflow extends PageGraph {
  /** By id, which is the type of their nodes. */
  readonly subgraphs: ReadonlyMap<string, Subgraph>;
  /** By name; their nodes are of the type `workflow>NAME` or `workflow/NAME`. */
  readonly groupNodes: ReadonlyMap<string, ExactObject>;
}

/** Whether a parsed file has the page's format. */
export function isPageFormat(value: ExactJson | undefined): value is ExactObject {
  return isExactObject(value) && Array.isArray(value['nodes']);
}

const textOf = (value: ExactJson | undefined): string | undefined =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
const numberOf = (value: ExactJson | undefined): number => (typeof value === 'number' ? value : 0);
const objectOf = (value: ExactJson | undefined): ExactObject => (isExactObject(value) ? value : {});
const listOf = (value: ExactJson | undefined): readonly ExactJson[] =>
  Array.isArray(value) ? value : isExactObject(value) ? Object.values(value) : [];
const typeOf = (value: ExactJson | undefined): string => (typeof value === 'string' ? value : '*');

function readInput(value: ExactJson): PageInput {
  const { name, type, link, widget } = objectOf(value);
  return {
    name: textOf(name) ?? '',
    type: typeOf(type),
    link: textOf(link ?? undefined),
    widget: textOf(objectOf(widget)['name']),
  };
}

function modeOf(value: ExactJson | undefined): PageMode {
  return value === 2 ? 'muted' : value === 4 ? 'bypassed' : 'run';
}

/** A node of a list; `index` is its id where it has none, in group nodes. */
export function readNode(value: ExactJson, index: number): PageNode | undefined {
  const { id, type, mode, title, order, inputs, outputs, widgets_values: values, properties } = objectOf(value);
  if (typeof type !== 'string') return undefined;
  const own = objectOf(properties);
  return {
    id: textOf(id) ?? String(index),
    type,
    mode: modeOf(mode),
    title: textOf(title),
    replaceName: textOf(own['Node name for S&R']),
    order: typeof order === 'number' ? order : index,
    inputs: listOf(inputs).map(readInput),
    outputTypes: listOf(outputs).map((output) => typeOf(objectOf(output)['type'])),
    values: isExactObject(values) ? values : listOf(values),
    hasProxies: listOf(own['proxyWidgets']).length > 0,
  };
}

/** A link: `[id, origin, slot, target, slot, type]`, or the same as an object. */
function readLink(value: ExactJson): readonly [key: string, link: PageLink] | undefined {
  const parts = Array.isArray(value)
    ? value
    : ['id', 'origin_id', 'origin_slot', 'target_id', 'target_slot'].map((name) => objectOf(value)[name]);
  const [id, origin, originSlot, target, targetSlot] = parts as readonly (ExactJson | undefined)[];
  const [key, from, to] = [textOf(id), textOf(origin), textOf(target)];
  if (key === undefined || from === undefined || to === undefined) return undefined;
  return [key, { origin: from, originSlot: numberOf(originSlot), target: to, targetSlot: numberOf(targetSlot) }];
}

function readGraph({ nodes, links }: ExactObject): PageGraph {
  const list = listOf(nodes);
  if (list.length > maximumNodes)
    throw new StableDiffusionError(
      'too-large',
      `The workflow has ${list.length} nodes; at most ${maximumNodes} are read.`,
    );
  const read = list.flatMap((value, i) => readNode(value, i) ?? []);
  return {
    nodes: new Map(read.map((node) => [node.id, node])),
    links: new Map(listOf(links).flatMap((value) => [readLink(value)].filter((link) => link !== undefined))),
  };
}

/** Reads a parsed file. Throws `too-large` for more than 10,000 nodes in one graph. */
export function readPage(value: ExactObject): PageWorkflow {
  const definitions = listOf(objectOf(value['definitions'])['subgraphs']).map(objectOf);
  const groups = objectOf(objectOf(value['extra'])['groupNodes']);
  return {
    ...readGraph(value),
    subgraphs: new Map(
      definitions.map((definition) => [
        textOf(definition['id']) ?? '',
        {
          ...readGraph(definition),
          inputs: listOf(definition['inputs']).map((input) => textOf(objectOf(input)['name']) ?? ''),
        },
      ]),
    ),
    groupNodes: new Map(
      Object.entries(groups).flatMap(([name, group]) => (isExactObject(group) ? [[name, group]] : [])),
    ),
  };
}
