/**
 * Linear layers whose weights a file has in blocks of 32 numbers of 4 or 8 bits: they are multiplied as they are, and never lie in memory in
 * float32.
 */

import { blockLinear, slice } from './functions.ts';
import type { AnyNode, Graph, Value } from './graph.ts';
import { applyNode, replay } from './replay.ts';
import { dropUnused } from './simplify.ts';
import { slicesOf } from './sliced-layers.ts';
import type { GraphBuilder, Sym } from './trace.ts';

/** A parameter of the new graph, and the old one that it is made of. */
export interface BlockPart {
  readonly source: string;
  /** Rows start … end - 1 of it. */
  readonly start: number;
  readonly end: number;
  readonly bits: 4 | 8;
  /** Name of the parameter uint8 [rows, in / 32, 4 bits]. */
  readonly weight: string;
  /** Name of the parameter float32 [rows, in / 32]. */
  readonly scale: string;
  readonly shape: readonly [rows: number, blocks: number, bytes: number];
}

/** The graph with such layers; `bitsOf` says which of its parameters are in blocks. Parts are empty where none is. */
export function withBlockLinears(
  graph: Graph,
  bitsOf: (parameter: string) => 4 | 8 | undefined,
): { readonly graph: Graph; readonly parts: readonly BlockPart[] } {
  const names = new Map(graph.parameters.map(({ name, value }) => [value.id, name]));
  const readers = new Map<number, AnyNode[]>();
  for (const node of graph.nodes) for (const { id } of node.inputs) readers.set(id, [...(readers.get(id) ?? []), node]);
  const outputs = new Set(graph.outputs.map(({ value }) => value.id));
  const parts = new Map<string, BlockPart>();
  /** Layers that are replaced slice by slice, by their slices. */
  const sliced = new Map<
    AnyNode,
    { readonly part: Omit<BlockPart, 'start' | 'end'>; readonly inputs: readonly Sym[] }
  >();

  const whole = (node: AnyNode): BlockPart | undefined => {
    const weight = node.inputs[1] as Value | undefined;
    const source = weight && names.get(weight.id);
    if (node.op !== 'linear' || source === undefined || node.inputs[0]?.dtype !== 'float32') return undefined;
    const bits = bitsOf(source);
    const [out = 0, width = 0] = weight?.shape.map(Number) ?? [];
    if (bits === undefined || width % 32 !== 0) return undefined;
    return partOf(source, bits, { start: 0, end: out, rows: out, blocks: width / 32 });
  };
  const layer = (b: GraphBuilder, part: BlockPart, inputs: readonly Sym[]): Sym => {
    const [x, , bias] = inputs as readonly [Sym, Sym, Sym | undefined];
    parts.set(part.weight, part);
    const weight = b.parameter(part.weight, part.shape, 'uint8');
    const scale = b.parameter(part.scale, part.shape.slice(0, 2), 'float32');
    const isWhole = bias && Number(bias.shape[0]) === part.end - part.start;
    return blockLinear(
      x,
      { weight, scale, bias: isWhole || !bias ? bias : slice(bias, 0, part.start, part.end) },
      part.bits,
    );
  };

  const replayed = replay(graph, (b, node, inputs) => {
    const from = sliced.get(node as AnyNode);
    if (from) {
      const { start, end } = (node as AnyNode & { readonly op: 'slice' }).attributes;
      const { source, bits, shape } = from.part;
      const rows = { start: Number(start), end: Number(end), rows: shape[0], blocks: shape[1] };
      return layer(b, partOf(source, bits, rows), from.inputs);
    }
    const part = whole(node as AnyNode);
    if (!part) return applyNode(b, node, inputs);
    const slices = slicesOf(node as AnyNode, readers.get(node.output.id) ?? [], outputs.has(node.output.id));
    for (const one of slices) sliced.set(one as AnyNode, { part, inputs });
    // A layer of which only slices are used is removed with other unneeded nodes.
    return slices.length > 0 ? applyNode(b, node, inputs) : layer(b, part, inputs);
  });
  if (parts.size === 0) return { graph, parts: [] };
  return { graph: dropUnused(replayed.builder.graph(replayed.outputs)), parts: [...parts.values()] };
}

interface Rows {
  readonly start: number;
  readonly end: number;
  /** Of the whole weight. */
  readonly rows: number;
  readonly blocks: number;
}

function partOf(source: string, bits: 4 | 8, { start, end, rows, blocks }: Rows): BlockPart {
  const part = start === 0 && end === rows ? '' : `[${start}:${end}]`;
  return {
    source,
    start,
    end,
    bits,
    weight: `${source}${part} blocks`,
    scale: `${source}${part} scales`,
    shape: [end - start, blocks, 4 * bits],
  };
}
