/**
 * A workflow as ComfyUI's API takes it: nodes by id, each with its class and its inputs, where an input is a value or a link
 * `[node id, output]`. `page/page-to-api.ts` reads the files that its page saves.
 */

import { demand } from '../arguments.ts';
import {
  type ExactJson,
  type ExactObject,
  isExactObject,
  orderedKeys,
  orderedObject,
  isWrittenFloat,
  parseExactJson,
} from '../formats/exact-json.ts';
import { StableDiffusionError } from '../errors.ts';
import { pythonStr, pythonTypeName } from './python-text.ts';

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
      // What is no object has no class: the check of the graph says so.
      const node = isExactObject(value[id]) ? value[id] : {};
      return [id, { ...node, class_type: classOf(node), inputs: inputsOf(node) }] as const;
    }),
  );
}

/** The class that ComfyUI looks for: of what is no text, its text. */
function classOf(node: ExactObject): string | undefined {
  const given = node['class_type'];
  if (given === undefined || (typeof given === 'object' && given !== null)) return undefined;
  return pythonStr(given, isWrittenFloat(node, 'class_type'));
}

interface InputsFault {
  /** Python's. */
  readonly exception: string;
  readonly message: string;
}
const faults = new WeakMap<ExactObject, InputsFault>();

/** What ComfyUI's check ends with where the inputs are missing or no object. */
export const inputsFault = ({ inputs }: ApiNode): InputsFault | undefined => faults.get(inputs);

function inputsOf(node: ExactObject): ExactObject {
  const given = node['inputs'];
  if (isExactObject(given)) return given;
  const inputs: ExactObject = {};
  if (given === undefined) faults.set(inputs, { exception: 'KeyError', message: "'inputs'" });
  else if ((typeof given !== 'object' && typeof given !== 'string') || given === null) {
    const type = pythonTypeName(given, isWrittenFloat(node, 'inputs'));
    faults.set(inputs, { exception: 'TypeError', message: `argument of type '${type}' is not iterable` });
  }
  return inputs;
}

/** The value of a workflow's text, in either format. Throws `file-corrupt` where it is not JSON. */
export function parseWorkflowJson(text: string): ExactJson {
  demand(typeof text === 'string', 'The workflow', 'the text of its file', text);
  return parseExactJson(text, 'The workflow', { keepsNaN: true });
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
