/** A workflow of ComfyUI's from a file, and what of it a person can set. */

import {
  type ExactJson,
  type ExactObject,
  isExactObject,
  parseExactJson,
} from 'stable-diffusion-ts/formats/exact-json.ts';
import { readPngText } from 'stable-diffusion-ts/image/metadata/png-text.ts';
import type { NodeTable, NodeType } from 'stable-diffusion-ts/workflow/definition.ts';
import { type ApiGraph, isLink } from 'stable-diffusion-ts/workflow/graph.ts';
import type { InputSpec } from 'stable-diffusion-ts/workflow/input-spec.ts';
import { anyGraph } from 'stable-diffusion-ts/workflow/page/page-to-api.ts';
import { isPageFormat } from 'stable-diffusion-ts/workflow/page/page-graph.ts';

/** A workflow as a file has it. */
export interface WorkflowFile {
  readonly name: string;
  readonly value: ExactJson;
}

/** A workflow as a server runs it. */
export interface OpenedWorkflow {
  readonly name: string;
  readonly graph: ApiGraph;
  /** The page's own form of it, for the pictures. */
  readonly page: ExactObject | undefined;
}

/** The workflow that a picture carries, as text. */
async function textInPicture(file: Blob): Promise<string | undefined> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes[0] !== 0x89 || bytes[1] !== 0x50) return undefined;
  const { texts } = readPngText(bytes);
  return texts.get('workflow') ?? texts.get('prompt');
}

/** The workflow of a PNG; undefined for pictures without. Throws an Error for a text that is no JSON. */
export async function workflowInPicture(file: File): Promise<WorkflowFile | undefined> {
  const text = await textInPicture(file);
  return text === undefined ? undefined : { name: file.name, value: parseExactJson(text, file.name) };
}

/** Reads a JSON file in the format of ComfyUI's page or API, or a PNG. Throws an Error for people. */
export async function readWorkflowFile(file: File): Promise<WorkflowFile> {
  const isPicture = file.type.startsWith('image/');
  const found = isPicture ? await workflowInPicture(file) : undefined;
  if (found) return found;
  if (isPicture) throw new Error(`${file.name} carries no workflow.`);
  return { name: file.name, value: parseExactJson(await file.text(), file.name) };
}

/** Throws an Error for something that is no workflow. */
export function openWorkflow({ name, value }: WorkflowFile, nodes: NodeTable): OpenedWorkflow {
  const inner = isExactObject(value) && isExactObject(value['prompt']) ? value['prompt'] : value;
  const graph = anyGraph(inner, { nodes });
  if (graph.size === 0) throw new Error(`${name} has no node that would run.`);
  return { name, graph, page: isPageFormat(inner) ? (inner as ExactObject) : undefined };
}

/** The nodes of a server by the names in its `/object_info`. */
export function nodeTableOf(info: ExactJson): NodeTable {
  const rows = isExactObject(info) ? Object.entries(info) : [];
  return new Map(
    rows.map(([name, row]) => {
      const { input, display_name: displayName } = row as { input?: ExactObject; display_name?: string };
      return [name, { name, displayName: displayName ?? name, ...input, outputs: [] } as unknown as NodeType];
    }),
  );
}

/** An input that is no link. */
export interface WorkflowField {
  readonly node: string;
  readonly input: string;
  readonly value: ExactJson;
  readonly spec: InputSpec;
}

export interface FieldGroup {
  readonly node: string;
  readonly title: string;
  readonly fields: readonly WorkflowField[];
}

/** The inputs that are values, by node in the order of the graph. */
export function fieldsOf(graph: ApiGraph, nodes: NodeTable): readonly FieldGroup[] {
  return [...graph].flatMap(([node, { class_type = '', inputs, ['_meta']: meta }]) => {
    const type = nodes.get(class_type);
    const specs = { ...type?.required, ...type?.optional };
    const fields = Object.entries(inputs).flatMap(([input, value]): WorkflowField[] => {
      const spec = specs[input];
      return spec && !isLink(value) && !isExactObject(value) ? [{ node, input, value, spec }] : [];
    });
    const title = (meta as { readonly title?: string } | undefined)?.title ?? type?.displayName ?? class_type;
    return fields.length > 0 ? [{ node, title, fields }] : [];
  });
}

/** The graph with another value of an input. */
export function withValue(graph: ApiGraph, node: string, input: string, value: ExactJson): ApiGraph {
  const own = graph.get(node);
  return own ? new Map([...graph, [node, { ...own, inputs: { ...own.inputs, [input]: value } }]]) : graph;
}

/** Classes of nodes that the server does not have. */
export const missingNodes = (graph: ApiGraph, nodes: NodeTable): readonly string[] => [
  ...new Set([...graph.values()].flatMap(({ class_type = '' }) => (nodes.has(class_type) ? [] : [class_type]))),
];
