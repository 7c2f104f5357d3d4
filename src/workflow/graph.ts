/**
 * A workflow as ComfyUI's API takes it: nodes by id, each with its class and its inputs, where an input is a value or a link
 * `[node id, output]`. `page/page-to-api.ts` reads the files that its page saves.
 */

import {
  type ExactJson,
  type ExactObject,
  isExactObject,
  orderedKeys,
  orderedObject,
  parseExactJson,
} from '../formats/exact-json.ts';
import { StableDiffusionError } from '../errors.ts';

export interface ApiNode {
  /** Absent in a graph that is refused. */
  readonly class_type?: string | undefined;
  readonly inputs: ExactObject;
  /** `_meta`, `is_changed` and whatever else a client sends. */
  readonly [key: string]: unknown;
}

/** In the order of the text. */
export type ApiGraph = ReadonlyMap<string, ApiNode>;

/** More nodes than these are an accident, or an attack. */
export const maximumNodes = 10_000;

/** The graph of a parsed object. Throws `invalid-argument` for something else, `too-large` for more than 10,000 nodes. */
export function apiGraph(value: ExactJson | undefined): ApiGraph {
  if (!isExactObject(value))
    throw new StableDiffusionError('invalid-argument', 'A workflow is an object of nodes by their ids.');
  const keys = orderedKeys(value);
  if (keys.length > maximumNodes)
    throw new StableDiffusionError(
      'too-large',
      `The workflow has ${keys.length} nodes, and at most ${maximumNodes} are run.`,
    );
  return new Map(
    keys.map((id) => {
      const node = value[id];
      if (!isExactObject(node))
        throw new StableDiffusionError('invalid-argument', `Node ${id} of the workflow is not an object.`);
      const { class_type, inputs } = node;
      return [
        id,
        {
          ...node,
          class_type: typeof class_type === 'string' ? class_type : undefined,
          inputs: isExactObject(inputs) ? inputs : {},
        },
      ] as const;
    }),
  );
}

/** The value of a workflow's text, in either format. Throws `file-corrupt` where it is not JSON. */
export function parseWorkflowJson(text: string): ExactJson {
  return parseExactJson(text, 'The workflow');
}

/** The graph of a text in API format. Throws `file-corrupt` where it is not JSON, and what `apiGraph` throws. */
export function parseApiGraph(text: string): ApiGraph {
  return apiGraph(parseWorkflowJson(text));
}

/** The graph as an object again, for printing. */
export function graphObject(graph: ApiGraph): Readonly<Record<string, unknown>> {
  return orderedObject(graph);
}

export type Link = readonly [node: string, output: number];

/** Whether an input is a link. */
export function isLink(value: unknown): value is Link {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'number';
}
