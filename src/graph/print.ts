/** A graph as text: one line a value, in order, with its type and the module it belongs to. */

import { type Dim, shapeText } from './dim.ts';
import type { Graph, Value } from './graph.ts';
import { attributesText } from './trace.ts';

const typeText = (value: { readonly dtype: string; readonly shape: readonly Dim[] }): string =>
  `${value.dtype} ${shapeText(value.shape)}`;

/**
 * @example
 * input     x = float32 [batch, 4]
 * parameter weight = float32 [8, 4]
 * %2 = linear(x, weight)  : float32 [batch, 8]
 * output    out = %2
 */
export function print(graph: Graph): string {
  const names = new Map<number, string>();
  const lines: string[] = [];
  const name = ({ id }: Value): string => names.get(id) ?? `%${id}`;
  for (const { name: input, value } of graph.inputs) {
    names.set(value.id, input);
    lines.push(`input     ${input} = ${typeText(value)}`);
  }
  for (const { name: parameter, value } of graph.parameters) {
    names.set(value.id, parameter);
    lines.push(`parameter ${parameter} = ${typeText(value)}`);
  }
  for (const { value, tensor } of graph.constants) {
    const few = tensor.data.length <= 4;
    const content = few
      ? Array.from<number | bigint, string>(tensor.data, String).join(', ')
      : `${tensor.data.length} values`;
    if (tensor.shape.length === 0) names.set(value.id, content);
    else lines.push(`constant  ${name(value)} = ${typeText(value)} (${content})`);
  }
  const numbered = new Map(graph.nodes.map((node, i) => [node.output.id, `%${i}`]));
  for (const [id, text] of numbered) names.set(id, text);
  for (const node of graph.nodes) {
    const attributes = attributesText(node.attributes);
    const call = `${node.op}(${node.inputs.map(name).join(', ')})${attributes ? ` ${attributes}` : ''}`;
    lines.push(`${name(node.output)} = ${call}  : ${typeText(node.output)}${node.scope ? `  # ${node.scope}` : ''}`);
  }
  for (const { name: output, value } of graph.outputs) lines.push(`output    ${output} = ${name(value)}`);
  return `${lines.join('\n')}\n`;
}
