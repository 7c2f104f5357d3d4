/**
 * Further tokens in a traced text encoder: ids from the vocabulary's size on are rows of a parameter of their own, which alone is trained
 * in textual inversion (Gal et al. 2022). The vocabulary's rows neither move nor get a gradient, so that nothing has to be restored.
 */

import { StableDiffusionError } from '../../errors.ts';
import { gather, less, maximum, minimum, reshape, sub, where } from '../../graph/functions.ts';
import type { Graph } from '../../graph/graph.ts';
import { applyNode, replay } from '../../graph/replay.ts';
import { simplify } from '../../graph/simplify.ts';
import type { Sym } from '../../graph/trace.ts';

export interface TokenRows {
  /** Name of the token table in the graph, [vocabulary, width]. */
  readonly table: string;
  /** Name of the parameter with the new rows, [count, width]. */
  readonly rows: string;
  readonly count: number;
}

/** The graph in which ids vocabulary … vocabulary + count - 1 are looked up in the new rows. Throws `invalid-argument` if the table is missing. */
export function withTokenRows(graph: Graph, { table, rows, count }: TokenRows): Graph {
  const parameter = graph.parameters.find(({ name }) => name === table)?.value;
  const [size, width] = parameter?.shape ?? [];
  if (!parameter || typeof size !== 'number' || typeof width !== 'number')
    throw new StableDiffusionError('invalid-argument', `The graph has no token table ${table}.`);
  const { builder, outputs } = replay(graph, (b, node, inputs) => {
    const [known, ids] = inputs;
    if (node.op !== 'gather' || node.inputs[0]?.id !== parameter.id || !known || !ids)
      return applyNode(b, node, inputs);
    const fresh = b.parameter(rows, [count, width], 'float32');
    const isNew: Sym = reshape(less(size - 1, ids), [...ids.shape, 1]);
    return where(isNew, gather(fresh, maximum(sub(ids, size), 0)), gather(known, minimum(ids, size - 1)));
  });
  return simplify(builder.graph(outputs));
}
