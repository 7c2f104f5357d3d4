/**
 * Group nodes of ComfyUI's page, its older form of subgraphs: nodes without ids, links by their numbers in the list, and inputs, outputs and
 * widgets that follow from the nodes inside, in order. One is read as a subgraph; its node's widgets are those of the nodes inside, one after another.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { ExactJson, ExactObject } from '../../formats/exact-json.ts';
import type { NodeTable } from '../definition.ts';
import { type PageLink, type PageNode, readNode, type Subgraph, subgraphInput, subgraphOutput } from './page-graph.ts';
import { type PageWidget, widgetsOf } from './page-widgets.ts';

export interface GroupNode extends Subgraph {
  /** The widgets of the group's node, with the node inside that has each. */
  readonly widgets: readonly (PageWidget & { readonly inside: string })[];
}

/** The name of the group of a node's type, or undefined. */
export const groupNameOf = (type: string): string | undefined => /^workflow[>/](.+)$/s.exec(type)?.[1];

type InnerLink = readonly [origin: number | null, originSlot: number, target: number, targetSlot: number];

const listOf = (value: ExactJson | undefined): readonly ExactJson[] => (Array.isArray(value) ? value : []);

/** Links between nodes inside; those from outside have no origin. */
function linksOf(group: ExactObject): readonly InnerLink[] {
  return listOf(group['links']).flatMap((value) => {
    const [origin, originSlot, target, targetSlot] = listOf(value);
    if (typeof target !== 'number' || typeof targetSlot !== 'number') return [];
    return [[typeof origin === 'number' ? origin : null, Number(originSlot ?? 0), target, targetSlot] as const];
  });
}

/** Inputs of a node inside that lead outside, in the order of the group's: links first, then widgets made inputs. */
function openInputs(node: PageNode, nodes: NodeTable, isLinked: (slot: number) => boolean): number[] {
  const type = nodes.get(node.type);
  const widgets = new Set(type ? widgetsOf(type).map(({ name }) => name) : []);
  const slots = [...node.inputs.keys()].filter((slot) => !isLinked(slot));
  const isOfWidget = (slot: number): boolean => widgets.has(node.inputs[slot]?.name ?? '');
  return [...slots.filter((slot) => !isOfWidget(slot)), ...slots.filter(isOfWidget)];
}

/** Throws `file-unsupported` for a group with primitives inside. */
export function readGroupNode(name: string, group: ExactObject, nodes: NodeTable): GroupNode {
  const inside = listOf(group['nodes']).flatMap((value, i) => {
    const node = readNode(value, i);
    return node ? [{ ...node, id: String(i), order: i }] : [];
  });
  if (inside.some(({ type }) => type === 'PrimitiveNode'))
    throw new StableDiffusionError(
      'file-unsupported',
      `The group node ${JSON.stringify(name)} has a primitive inside, which is not read. Convert the group to nodes on ComfyUI's page, and save again.`,
    );
  const inner = linksOf(group);
  const external = new Set(listOf(group['external']).map((value) => listOf(value).slice(0, 2).join()));
  const links = new Map<string, PageLink>();
  const linked = new Map<string, string>();
  for (const [i, [origin, originSlot, target, targetSlot]] of inner.entries()) {
    if (origin === null) continue;
    links.set(`${i}`, { origin: `${origin}`, originSlot, target: `${target}`, targetSlot });
    linked.set(`${target} ${targetSlot}`, `${i}`);
  }
  const inputs: string[] = [];
  let outputs = 0;
  const read = inside.map((node) => {
    const open = openInputs(node, nodes, (slot) => linked.has(`${node.id} ${slot}`));
    const keys = new Map(open.map((slot) => [slot, `in ${node.id} ${slot}`]));
    for (const slot of open) {
      const link = { origin: subgraphInput, originSlot: inputs.length, target: node.id, targetSlot: slot };
      links.set(`in ${node.id} ${slot}`, link);
      inputs.push('');
    }
    for (const slot of node.outputTypes.keys()) {
      const isUsed = inner.some(([origin, from]) => String(origin) === node.id && from === slot);
      if (isUsed && !external.has(`${node.id},${slot}`)) continue;
      const link = { origin: node.id, originSlot: slot, target: subgraphOutput, targetSlot: outputs };
      links.set(`out ${outputs}`, link);
      outputs += 1;
    }
    const withLinks = node.inputs.map((input, slot) => ({
      ...input,
      link: linked.get(`${node.id} ${slot}`) ?? keys.get(slot),
    }));
    return { ...node, inputs: withLinks };
  });
  return {
    nodes: new Map(read.map((node) => [node.id, node])),
    links,
    inputs,
    widgets: read.flatMap((node) => {
      const type = nodes.get(node.type);
      const converted = new Set(node.inputs.map(({ widget }) => widget));
      return (type ? widgetsOf(type) : [])
        .filter((widget) => !converted.has(widget.name))
        .map((widget) => ({ ...widget, inside: node.id }));
    }),
  };
}
