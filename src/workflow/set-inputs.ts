/** Inputs of a graph set from outside: `3.seed=5`, or by a class or title that one node has: `KSampler.steps=8`. */

import { StableDiffusionError } from '../errors.ts';
import { type ExactJson, isExactObject, parseExactJson } from '../formats/exact-json.ts';
import type { ApiGraph, ApiNode } from './graph.ts';

/** A value as it is typed: JSON where it is JSON, else a text. */
function typedValue(text: string): ExactJson {
  try {
    return parseExactJson(text, 'The value');
  } catch {
    return text;
  }
}

const titleOf = ({ _meta }: ApiNode): unknown =>
  isExactObject(_meta as ExactJson) ? (_meta as { title?: unknown }).title : undefined;

/** The node of an id, else the only one of a class, else the only one of a title. */
function nodeOf(graph: ApiGraph, name: string): string {
  if (graph.has(name)) return name;
  for (const fits of [(node: ApiNode) => node.class_type === name, (node: ApiNode) => titleOf(node) === name]) {
    const found = [...graph].flatMap(([id, node]) => (fits(node) ? [id] : []));
    if (found.length === 1) return found[0] as string;
    if (found.length > 1)
      throw new StableDiffusionError(
        'invalid-argument',
        `${found.length} nodes of the workflow are called ${name}: ${found.join(', ')}. Name one of these numbers.`,
      );
  }
  throw new StableDiffusionError(
    'invalid-argument',
    `The workflow has no node ${JSON.stringify(name)}. It has ${[...graph].map(([id, node]) => `${id} (${node.class_type ?? 'no class'})`).join(', ')}.`,
  );
}

/** The graph with its inputs changed. Each setting is `NODE.INPUT=VALUE`. Throws `invalid-argument`. */
export function withInputs(graph: ApiGraph, settings: readonly string[]): ApiGraph {
  const changed = new Map(graph);
  for (const setting of settings) {
    const equals = setting.indexOf('=');
    const dot = setting.slice(0, equals < 0 ? undefined : equals).lastIndexOf('.');
    if (equals < 0 || dot <= 0 || dot + 1 === equals)
      throw new StableDiffusionError(
        'invalid-argument',
        `${JSON.stringify(setting)} is not NODE.INPUT=VALUE, such as 3.seed=5 or KSampler.steps=8.`,
      );
    const id = nodeOf(graph, setting.slice(0, dot));
    const input = setting.slice(dot + 1, equals);
    const node = changed.get(id) as ApiNode;
    if (!(input in node.inputs))
      throw new StableDiffusionError(
        'invalid-argument',
        `Node ${id} (${node.class_type ?? ''}) has no input ${JSON.stringify(input)}. It has ${Object.keys(node.inputs).join(', ')}.`,
      );
    changed.set(id, { ...node, inputs: { ...node.inputs, [input]: typedValue(setting.slice(equals + 1)) } });
  }
  return changed;
}
