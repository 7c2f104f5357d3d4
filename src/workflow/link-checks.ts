/** Where a link leads, as Python looks it up in ComfyUI's check: what it raises for nodes and outputs that are not there. */

import { isWrittenFloat } from '../formats/exact-json.ts';
import { type NodeTable, outputsOf } from './definition.ts';
import type { ApiGraph } from './graph.ts';
import { pythonRepr, pythonTypeName } from './python-text.ts';
import { CheckFailed } from './validation-error.ts';

/** The place that Python takes a value for in a tuple or list of so many. Throws `CheckFailed`. */
function indexOf(link: readonly unknown[], count: number, holder: 'tuple' | 'list'): number {
  const slot = link[1];
  if (typeof slot === 'bigint') throw new CheckFailed('IndexError', "cannot fit 'int' into an index-sized integer");
  const isWhole = typeof slot === 'number' && Number.isInteger(slot) && !isWrittenFloat(link, 1);
  if (!isWhole && typeof slot !== 'boolean')
    throw new CheckFailed(
      'TypeError',
      `${holder} indices must be integers or slices, not ${pythonTypeName(slot, isWrittenFloat(link, 1))}`,
    );
  const index = Number(slot);
  if (index >= count || index < -count) throw new CheckFailed('IndexError', `${holder} index out of range`);
  return index < 0 ? index + count : index;
}

export interface LinkedOutput {
  readonly node: string;
  readonly type: string | readonly string[];
}

/** The node and the type of the output that a list of two names. Throws `CheckFailed`. */
export function linkedOutput(graph: ApiGraph, nodes: NodeTable, link: readonly unknown[]): LinkedOutput {
  const [id] = link;
  if (typeof id === 'object' && id !== null)
    throw new CheckFailed('TypeError', `unhashable type: '${pythonTypeName(id)}'`);
  const source = typeof id === 'string' ? graph.get(id) : undefined;
  const type = source && nodes.get(source.class_type ?? '');
  if (!type || typeof id !== 'string') throw new CheckFailed('KeyError', pythonRepr(id, isWrittenFloat(link, 0)));
  const outputs = outputsOf(type);
  // Nodes of ComfyUI's newer form, which say whether they call a paid service, have their outputs in a list.
  const holder = type.flags && 'api_node' in type.flags ? 'list' : 'tuple';
  return { node: id, type: outputs[indexOf(link, outputs.length, holder)]?.type ?? '*' };
}
