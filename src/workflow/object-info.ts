/** The nodes as ComfyUI's `/object_info` describes them, in its fields and their order. Print it with `printExactJson`: seeds reach 2^64 - 1. */

import { demand } from '../arguments.ts';
import { type InputSpec, type InputSpecs, type NameLists, namesOf } from './input-spec.ts';
import { type NodeTable, type NodeType, outputsOf } from './definition.ts';

/** Type and settings as `/object_info` has them, with the names of a list. */
export function inputConfig(spec: InputSpec, lists: NameLists): readonly unknown[] {
  const [type, settings] = spec;
  const names = namesOf(spec, lists);
  if (typeof type !== 'string') return settings ? [names, settings] : [names];
  if (!settings) return [type];
  return [type, names && 'options' in settings ? { ...settings, options: names } : settings];
}

function configs(specs: InputSpecs, lists: NameLists): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, inputConfig(spec, lists)]));
}

/** Nodes of ComfyUI's newer form have these in lists, as they have other inputs. */
function hiddenOf({ hidden = {}, flags }: NodeType): Readonly<Record<string, unknown>> {
  if (flags?.['api_node'] === undefined) return hidden;
  return Object.fromEntries(Object.entries(hidden).map(([name, type]) => [name, [type]]));
}

/** One node. */
export function nodeInfo(node: NodeType, lists: NameLists): Readonly<Record<string, unknown>> {
  const groups = { required: node.required, optional: node.optional, hidden: node.hidden };
  const given = Object.entries(groups).flatMap(([group, specs]) => (specs ? [[group, specs] as const] : []));
  const outputs = outputsOf(node);
  return {
    input: Object.fromEntries(
      given.map(([group, specs]) => [group, group === 'hidden' ? hiddenOf(node) : configs(specs as InputSpecs, lists)]),
    ),
    input_order: Object.fromEntries(given.map(([group, specs]) => [group, Object.keys(specs)])),
    output: outputs.map(({ type }) => type),
    output_is_list: outputs.map(({ isList }) => isList),
    output_name: outputs.map(({ name }) => name),
    name: node.name,
    display_name: node.displayName,
    description: node.description ?? '',
    python_module: node.module,
    category: node.category,
    output_node: node.outputNode ?? false,
    ...node.flags,
  };
}

/** Every node of a table by its name. */
export function objectInfo(nodes: NodeTable, lists: NameLists): Readonly<Record<string, unknown>> {
  demand((nodes as unknown) instanceof Map, 'The nodes', 'a table, as nodeTable gives', nodes);
  return Object.fromEntries([...nodes].map(([name, node]) => [name, nodeInfo(node, lists)]));
}
