/**
 * Checks a graph as ComfyUI's server does before it is queued: from the output nodes upwards, all errors at once, in its kinds and words.
 * A graph may run where one of its output nodes is right; it still reports the errors of the others.
 *
 *     const { valid, error, nodeErrors, outputs, graph } = validateWorkflow(given, nodes, lists);
 */

import { demand } from '../arguments.ts';
import type { ApiGraph, ApiNode } from './graph.ts';
import type { NameLists } from './input-spec.ts';
import type { NodeTable } from './definition.ts';
import { NodeValidation } from './input-checks.ts';
import type { ValidationError } from './validation-error.ts';

export type { ValidationError } from './validation-error.ts';

export interface NodeErrors {
  readonly errors: readonly ValidationError[];
  /** The output nodes that cannot be made because of it. */
  readonly dependent_outputs: readonly string[];
  readonly class_type: string;
}

export interface ValidationResult {
  /** Whether it can be run: at least one output node is right. */
  readonly valid: boolean;
  /** What refuses the whole graph. */
  readonly error: ValidationError | undefined;
  /** By node; also where the graph is valid, for the output nodes left out. */
  readonly nodeErrors: Readonly<Record<string, NodeErrors>>;
  /** The output nodes to run. */
  readonly outputs: readonly string[];
  /** The graph with its values converted to the types of their inputs, as it is run and kept in pictures. */
  readonly graph: ApiGraph;
}

function refusal(type: string, message: string, details: string): ValidationError {
  return { type, message, details, extra_info: {} };
}

/** Most pairs of a wrong node and an output in an answer; a graph can have a hundred million. */
const mostTold = 20_000;

/** What refuses a graph before its inputs are looked at. */
function classError(graph: ApiGraph, nodes: NodeTable): ValidationError | undefined {
  for (const [id, { class_type }] of graph) {
    if (class_type === undefined)
      return refusal(
        'invalid_prompt',
        'Cannot execute because a node is missing the class_type property.',
        `Node ID '#${id}'`,
      );
    if (!nodes.has(class_type))
      return refusal('invalid_prompt', `Cannot execute because node ${class_type} does not exist.`, `Node ID '#${id}'`);
  }
  return undefined;
}

/** `targets`: only these output nodes (`partial_execution_targets`). Never throws for what a graph says. */
export function validateWorkflow(
  graph: ApiGraph,
  nodes: NodeTable,
  lists: NameLists,
  targets?: readonly string[],
): ValidationResult {
  demand((graph as unknown) instanceof Map, 'The workflow', 'a graph, as parseWorkflow gives', graph);
  demand((nodes as unknown) instanceof Map, 'The nodes', 'a table, as nodeTable gives', nodes);
  const refused = (error: ValidationError): ValidationResult => ({
    valid: false,
    error,
    nodeErrors: {},
    outputs: [],
    graph,
  });
  const wrong = classError(graph, nodes);
  if (wrong) return refused(wrong);
  const chosen = targets && new Set(targets);
  const wanted = [...graph].flatMap(([id, { class_type = '' }]) =>
    nodes.get(class_type)?.outputNode && (chosen?.has(id) ?? true) ? [id] : [],
  );
  if (wanted.length === 0) return refused(refusal('prompt_no_outputs', 'Prompt has no outputs', ''));
  const validation = new NodeValidation(graph, nodes, lists);
  // A map: nodes may be called `constructor` or `__proto__`.
  const found = new Map<
    string,
    { errors: readonly ValidationError[]; dependent_outputs: string[]; class_type: string }
  >();
  const outputs: string[] = [];
  const messages: string[] = [];
  let told = 0;
  for (const output of wanted) {
    const { valid, errors } = validation.output(output);
    if (valid) {
      outputs.push(output);
      continue;
    }
    messages.push(...errors.map(({ message, details }) => `${message}: ${details}`));
    for (const [id, { errors: own }] of validation.wrong) {
      if (++told > mostTold) break;
      const node = found.get(id) ?? { errors: own, dependent_outputs: [], class_type: graph.get(id)?.class_type ?? '' };
      node.dependent_outputs.push(output);
      found.set(id, node);
    }
  }
  const error =
    outputs.length > 0
      ? undefined
      : refusal('prompt_outputs_failed_validation', 'Prompt outputs failed validation', messages.join('\n'));
  const nodeErrors = Object.fromEntries(found);
  return { valid: outputs.length > 0, error, nodeErrors, outputs, graph: converted(graph, validation) };
}

function converted(graph: ApiGraph, { values }: NodeValidation): ApiGraph {
  return new Map(
    [...graph].map(([id, node]): [string, ApiNode] => {
      const own = values.get(id);
      return [id, own ? { ...node, inputs: { ...node.inputs, ...own } as ApiNode['inputs'] } : node];
    }),
  );
}
