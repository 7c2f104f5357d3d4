/**
 * A workflow of ComfyUI's page in the format of its API, as the page sends it: values of widgets by name, links past what only the page knows
 * (reroutes, primitives, notes, subgraphs, group nodes), without muted and bypassed nodes.
 */

import { fieldsOf } from '../../arguments.ts';
import type { ExactJson, ExactObject } from '../../formats/exact-json.ts';
import type { NodeTable, NodeType } from '../definition.ts';
import { type ApiGraph, type ApiNode, apiGraph, isLink, parseWorkflowJson } from '../graph.ts';
import { type ExecutableNode, ExecutableGraph, isVirtual } from './executable.ts';
import { isPageFormat, readPage } from './page-graph.ts';
import { sentValue, widgetsOf } from './page-widgets.ts';
import { fileNameInputs, withReplacements } from './text-replacements.ts';

export interface PageOptions {
  readonly nodes: NodeTable;
  /** Chooses among `{one|another}` in texts. Default `Math.random`. */
  readonly random?: (() => number) | undefined;
  /** For `%date:…%` in names of files. Default now. */
  readonly now?: Date | undefined;
}

/** A value of a widget by a node's name for replacements, else its title. */
function lookupIn(graph: ExecutableGraph): (node: string, widget: string) => ExactJson | undefined {
  const all = [...graph.nodes.values()];
  return (name, widget) => {
    const named = all.find(({ node }) => node.replaceName === name) ?? all.find(({ node }) => node.title === name);
    return named?.values.get(widget);
  };
}

function inputsOf(
  own: ExecutableNode,
  type: NodeType | undefined,
  graph: ExecutableGraph,
  { random = Math.random, now = new Date() }: PageOptions,
): ExactObject {
  const widgets = new Map((type ? widgetsOf(type) : []).map((widget) => [widget.name, widget]));
  const inputs: Record<string, ExactJson> = {};
  for (const [name, value] of own.values) {
    const sent = sentValue(name, value, widgets.get(name), random);
    const isFileName = fileNameInputs.get(own.node.type) === name && typeof sent === 'string';
    inputs[name] = isFileName ? withReplacements(sent, lookupIn(graph), now) : sent;
  }
  for (const [slot, { name }] of own.node.inputs.entries()) {
    const resolved = graph.input(own, slot);
    if (!resolved) continue;
    inputs[name] =
      'value' in resolved
        ? sentValue(name, resolved.value, widgets.get(name), random)
        : [resolved.node, resolved.output];
  }
  return inputs;
}

/** Whole numbers come first in the page's objects, then other ids as they were added. */
function inPageOrder(nodes: readonly (readonly [id: string, node: ApiNode])[]): ApiGraph {
  const isNumber = (id: string): boolean => /^(0|[1-9]\d{0,8})$/.test(id);
  const numbers = nodes.filter(([id]) => isNumber(id)).sort(([a], [b]) => Number(a) - Number(b));
  return new Map([...numbers, ...nodes.filter(([id]) => !isNumber(id))]);
}

/** Links to nodes that are not sent are left out. */
function withoutDeadLinks(graph: ApiGraph): ApiGraph {
  return new Map(
    [...graph].map(([id, node]) => {
      const kept = Object.entries(node.inputs).filter(([, value]) => !isLink(value) || graph.has(value[0]));
      return [id, { ...node, inputs: Object.fromEntries(kept) }];
    }),
  );
}

/** Throws `too-large` for very many nodes, `invalid-argument` for subgraphs nested too deep, `file-unsupported` for group nodes with primitives. */
export function apiGraphOfPage(value: ExactObject, options: PageOptions): ApiGraph {
  fieldsOf(value, 'The workflow', "a page's workflow, parsed");
  fieldsOf(options, 'The options of apiGraphOfPage', 'an object with nodes');
  const graph = new ExecutableGraph(readPage(value), options.nodes);
  const sent = [...graph.nodes.values()].flatMap((own): (readonly [string, ApiNode])[] => {
    const { node, subgraph } = own;
    if (node.mode !== 'run' || subgraph || isVirtual(node)) return [];
    const type = options.nodes.get(node.type);
    const title = node.title ?? type?.displayName ?? node.type;
    const inputs = inputsOf(own, type, graph, options);
    return [[own.id, { inputs, class_type: node.type, _meta: { title } }]];
  });
  return withoutDeadLinks(inPageOrder(sent));
}

/** The graph of a parsed workflow in either format; a body of POST /prompt has it inside. Throws what `apiGraph` and `apiGraphOfPage` throw. */
export function anyGraph(value: ExactJson | undefined, options: PageOptions): ApiGraph {
  return isPageFormat(value) ? apiGraphOfPage(value, options) : apiGraph(value);
}

/** The graph of a text in either format. Throws `file-corrupt` where it is not JSON, and what `anyGraph` throws. */
export function parseWorkflow(text: string, options: PageOptions): ApiGraph {
  fieldsOf(options, 'The options of parseWorkflow', 'an object with nodes');
  return anyGraph(parseWorkflowJson(text), options);
}
