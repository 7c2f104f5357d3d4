/**
 * NodeType: a node of a workflow, a row of the table in `nodes/index.ts`. Names, inputs, ranges and outputs are ComfyUI's, so that its graphs
 * and pages find what they expect (`object-info.ts` prints them, `validate.ts` checks graphs against them); `run` is ours.
 *
 * `defineNode` infers the types of `run`'s inputs from the specs: an input that the specs do not have does not compile.
 */

import { demand } from '../arguments.ts';
import type { InputSpecs, NameLists } from './input-spec.ts';
import type { NodeContext } from './context-in-run.ts';
import type { InputValues } from './values.ts';

/** What the executor gives by itself. */
export type HiddenType =
  | 'PROMPT'
  | 'EXTRA_PNGINFO'
  | 'UNIQUE_ID'
  | 'DYNPROMPT'
  | 'AUTH_TOKEN_COMFY_ORG'
  | 'API_KEY_COMFY_ORG';

export interface OutputSpec {
  readonly type: string | readonly string[];
  /** Default: the type. */
  readonly name?: string;
  /** The value is a list; nodes behind it run once for each entry. */
  readonly isList?: boolean;
}

export interface NodeResult {
  /** One value for each output. */
  readonly outputs?: readonly unknown[];
  /** What pages show: `{ images: [{ filename, subfolder, type }] }`. */
  readonly ui?: Readonly<Record<string, readonly unknown[]>>;
}

export type RunResult = NodeResult | readonly unknown[];

/** An input's value as the validated graph or an earlier node has it. */
export type NodeInputs = Readonly<Record<string, unknown>>;

export interface NodeType {
  readonly name: string;
  /** `null` where ComfyUI has none. */
  readonly displayName: string | null;
  readonly category: string;
  readonly description?: string;
  /** ComfyUI's Python module, as `/object_info` names it. */
  readonly module: string;
  readonly required?: InputSpecs;
  readonly optional?: InputSpecs;
  readonly hidden?: Readonly<Record<string, HiddenType>>;
  readonly outputs: readonly (string | OutputSpec)[];
  readonly outputNode?: boolean;
  /** Inputs come as lists, one entry for each run that there would be. */
  readonly takesLists?: boolean;
  /** Further fields of `/object_info`: `deprecated`, `experimental`, `api_node`. */
  readonly flags?: Readonly<Record<string, boolean>>;
  /** A value that differs where the node must run again although its inputs are the same; `NaN` always does. */
  readonly isChanged?: (inputs: NodeInputs, context: NodeContext) => unknown | Promise<unknown>;
  /** Whether an input is checked by the node itself; returns what is wrong, as ComfyUI's VALIDATE_INPUTS. */
  readonly validateInputs?: (inputs: NodeInputs, lists: NameLists) => true | string;
  /** Inputs that `validateInputs` checks in place of the list of names. */
  readonly validates?: readonly string[];
  /** The node can take long whatever the size of its inputs: a server runs it apart. */
  readonly canTakeLong?: boolean;
  /** Bytes that the node makes, where they can be more than its inputs have; from the inputs, before it runs. */
  readonly makes?: (inputs: NodeInputs) => number;
  /** Outputs in order, or outputs with a part for pages. Throws `StableDiffusionError`. */
  readonly run: (inputs: NodeInputs, context: NodeContext) => RunResult | Promise<RunResult>;
}

type Definition<R extends InputSpecs, O extends InputSpecs, H extends Readonly<Record<string, HiddenType>>> = Omit<
  NodeType,
  'required' | 'optional' | 'hidden' | 'run' | 'makes'
> & {
  readonly required?: R;
  readonly optional?: O;
  readonly hidden?: H;
  readonly makes?: (inputs: InputValues<R> & Partial<InputValues<O>>) => number;
  readonly run: (
    inputs: InputValues<R> & Partial<InputValues<O>> & { readonly [K in keyof H]?: unknown },
    context: NodeContext,
  ) => RunResult | Promise<RunResult>;
};

/** A row of the table, its `run` typed by its specs. */
export function defineNode<
  const R extends InputSpecs,
  const O extends InputSpecs,
  const H extends Readonly<Record<string, HiddenType>>,
>(definition: Definition<R, O, H>): NodeType {
  return definition as unknown as NodeType;
}

/** The flags of nodes of ComfyUI's newer form. @public */
export const plainFlags = { deprecated: false, experimental: false, api_node: false } as const;

/** The flags of its experimental nodes. @public */
export const experimentalFlags = { ...plainFlags, experimental: true } as const;

/** A node for a list of inputs: every value comes as a list. */
export function defineListNode(definition: Omit<NodeType, 'takesLists'>): NodeType {
  return { ...definition, takesLists: true };
}

/**
 * Runs a node elsewhere, so that this thread goes on: one that computes on pictures, masks and latents alone (`runs-alone.ts`). Gives
 * undefined for a node that it cannot run.
 */
export type RunApart = (
  type: NodeType,
  inputs: NodeInputs,
  signal: AbortSignal | undefined,
) => Promise<RunResult> | undefined;

/** The nodes by their names. */
export type NodeTable = ReadonlyMap<string, NodeType>;

export function nodeTable(nodes: readonly NodeType[]): NodeTable {
  demand(Array.isArray(nodes), 'The nodes', 'a list of what defineNode gives', nodes);
  return new Map(nodes.map((node) => [node.name, node]));
}

/** Type, name and list flag of each output. */
export function outputsOf({ outputs }: Pick<NodeType, 'outputs'>): readonly Required<OutputSpec>[] {
  return outputs.map((output) => {
    const { type, name, isList } =
      typeof output === 'string' ? { type: output, name: undefined, isList: undefined } : output;
    return { type, name: name ?? (typeof type === 'string' ? type : 'COMBO'), isList: isList ?? false };
  });
}
