/**
 * The nodes of a page's workflow that can run, those inside subgraphs and group nodes too, and where each of their inputs comes from: past
 * reroutes, bypassed nodes and the borders of subgraphs. Ids of inner nodes are those of the page, `12:3`.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { ExactJson } from '../../formats/exact-json.ts';
import type { NodeTable } from '../definition.ts';
import { maximumNodes } from '../graph.ts';
import { type GroupNode, groupNameOf, readGroupNode } from './group-nodes.ts';
import {
  type PageGraph,
  type PageNode,
  type PageWorkflow,
  type Subgraph,
  subgraphInput,
  subgraphOutput,
} from './page-graph.ts';
import { namedValues, savedValues } from './page-widgets.ts';

/** Classes that only the page knows. */
const virtual = new Set(['Reroute', 'PrimitiveNode', 'Note', 'MarkdownNote']);
export const isVirtual = ({ type }: PageNode): boolean => virtual.has(type);

/** Subgraphs inside subgraphs. */
const deepest = 32;
/** Steps from an input back to the node that gives it. */
const longest = 1000;

export interface ExecutableNode {
  readonly id: string;
  readonly node: PageNode;
  readonly graph: PageGraph;
  /** The node of the subgraph that it lies in. */
  readonly parent: ExecutableNode | undefined;
  /** What it stands for. */
  readonly subgraph: Subgraph | undefined;
  /** By name; changed by primitives and by the widgets of group nodes. */
  readonly values: Map<string, ExactJson>;
}

/** What an input is: an output of a node, or a value of a subgraph's widget. */
export type Resolved = { readonly node: string; readonly output: number } | { readonly value: ExactJson };

export class ExecutableGraph {
  readonly nodes = new Map<string, ExecutableNode>();
  readonly #page: PageWorkflow;
  readonly #table: NodeTable;
  readonly #groups = new Map<string, GroupNode>();

  constructor(page: PageWorkflow, table: NodeTable) {
    this.#page = page;
    this.#table = table;
    this.#add(page, undefined, 0);
    for (const one of this.nodes.values()) if (one.node.type === 'PrimitiveNode') this.#spread(one);
  }

  #subgraphOf({ type }: PageNode): Subgraph | undefined {
    const name = groupNameOf(type);
    const group = name === undefined ? undefined : this.#page.groupNodes.get(name);
    if (name === undefined || !group) return this.#page.subgraphs.get(type);
    const read = this.#groups.get(name) ?? readGroupNode(name, group, this.#table);
    this.#groups.set(name, read);
    return read;
  }

  #add(graph: PageGraph, parent: ExecutableNode | undefined, depth: number): void {
    if (depth > deepest)
      throw new StableDiffusionError('invalid-argument', `Subgraphs lie more than ${deepest} deep in each other.`);
    const inOrder = [...graph.nodes.values()].sort((a, b) => a.order - b.order);
    for (const node of inOrder) {
      const subgraph = this.#subgraphOf(node);
      const values = new Map(savedValues(node, this.#table.get(node.type)));
      const own: ExecutableNode = {
        id: parent ? `${parent.id}:${node.id}` : node.id,
        node,
        graph,
        parent,
        subgraph,
        values,
      };
      this.nodes.set(own.id, own);
      if (this.nodes.size > maximumNodes)
        throw new StableDiffusionError(
          'too-large',
          `The workflow has more than ${maximumNodes} nodes with its subgraphs.`,
        );
      if (!subgraph || node.mode !== 'run') continue;
      this.#add(subgraph, own, depth + 1);
      if ('widgets' in subgraph) this.#fillGroup(own, subgraph as GroupNode);
    }
  }

  /** Gives the values of a group's node to the nodes inside. */
  #fillGroup({ id, node }: ExecutableNode, { widgets }: GroupNode): void {
    if (!Array.isArray(node.values)) return;
    const named = namedValues(
      widgets.map((widget, i) => ({ ...widget, name: `${i}` })),
      node.values as readonly ExactJson[],
    );
    for (const [i, { name, inside }] of widgets.entries()) {
      const value = named.get(`${i}`);
      if (value !== undefined) this.nodes.get(`${id}:${inside}`)?.values.set(name, value);
    }
  }

  /** Gives a primitive's value to the widgets that it is linked to. */
  #spread({ node, graph, parent }: ExecutableNode): void {
    const [value] = Array.isArray(node.values) ? (node.values as readonly ExactJson[]) : [];
    if (value === undefined) return;
    const open = [node.id];
    const seen = new Set<string>();
    for (let origin = open.pop(); origin !== undefined; origin = open.pop()) {
      if (seen.has(origin)) continue;
      seen.add(origin);
      for (const link of graph.links.values()) {
        const target = link.origin === origin ? graph.nodes.get(link.target) : undefined;
        if (!target) continue;
        if (target.type === 'Reroute') open.push(target.id);
        const widget = target.inputs[link.targetSlot]?.widget;
        const id = parent ? `${parent.id}:${target.id}` : target.id;
        if (widget !== undefined) this.nodes.get(id)?.values.set(widget, value);
      }
    }
  }

  /** Where an input comes from; undefined where nothing that runs gives it. */
  input(own: ExecutableNode, slot: number): Resolved | undefined {
    return this.#input(own, slot, own.node.inputs[slot]?.type ?? '*', longest);
  }

  #input(own: ExecutableNode, slot: number, type: string, left: number): Resolved | undefined {
    const { link: key } = own.node.inputs[slot] ?? {};
    const link = key === undefined ? undefined : own.graph.links.get(key);
    if (!link || left === 0) return undefined;
    const { parent } = own;
    if (link.origin === subgraphInput && parent) return this.#outside(parent, link.originSlot, type, left - 1);
    const origin = this.nodes.get(parent ? `${parent.id}:${link.origin}` : link.origin);
    return origin && this.#output(origin, link.originSlot, type, left - 1);
  }

  /** What a subgraph's input is outside: a link's, or the value of its widget. */
  #outside(parent: ExecutableNode, slot: number, type: string, left: number): Resolved | undefined {
    const { inputs, values, hasProxies } = parent.node;
    const name = parent.subgraph?.inputs[slot];
    const byName = name ? inputs.findIndex((input) => input.name === name) : -1;
    const at = byName >= 0 ? byName : slot;
    const input = inputs[at];
    if (!input) return undefined;
    if (input.link !== undefined) return this.#input(parent, at, type, left);
    if (input.widget === undefined || hasProxies || !Array.isArray(values)) return undefined;
    const place = inputs.slice(0, at).filter(({ widget }) => widget !== undefined).length;
    const value = (values as readonly ExactJson[])[place];
    return value === undefined || value === null ? undefined : { value };
  }

  #output(own: ExecutableNode, slot: number, type: string, left: number): Resolved | undefined {
    const { node, subgraph } = own;
    if (left === 0 || node.mode === 'muted') return undefined;
    if (node.mode === 'bypassed') {
      const through = bypassed(node, slot, type);
      return through === undefined ? undefined : this.#input(own, through, type, left - 1);
    }
    if (subgraph) return this.#inside(own, subgraph, slot, type, left - 1);
    if (isVirtual(node)) return node.type === 'Reroute' ? this.#input(own, 0, type, left - 1) : undefined;
    return { node: own.id, output: slot };
  }

  /** What a subgraph's output is inside. */
  #inside(own: ExecutableNode, { links }: Subgraph, slot: number, type: string, left: number): Resolved | undefined {
    for (const { origin, originSlot, target, targetSlot } of links.values()) {
      if (target !== subgraphOutput || targetSlot !== slot) continue;
      if (origin === subgraphInput) return this.#outside(own, originSlot, type, left);
      const inner = this.nodes.get(`${own.id}:${origin}`);
      return inner && this.#output(inner, originSlot, type, left);
    }
    return undefined;
  }
}

const fits = (a: string, b: string): boolean =>
  a === '*' || b === '*' || a.split(',').some((one) => b.split(',').includes(one));

/** The input that a bypassed node passes on for an output: that of the same place, else the first of the same type. */
function bypassed({ inputs, outputTypes }: PageNode, slot: number, wanted: string): number | undefined {
  const type = outputTypes[slot] ?? wanted;
  const opposite = inputs[slot];
  if (opposite && (opposite.type === type || opposite.type === wanted || type === '*')) return slot;
  const exact = inputs.findIndex((input) => input.type === type);
  if (exact >= 0) return exact;
  const near = inputs.findIndex((input) => fits(input.type, type));
  return near >= 0 ? near : undefined;
}
