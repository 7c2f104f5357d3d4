/** What a running workflow reports, in order: start, the nodes whose values are kept from before, then each node, then one end. */

import type { FileReference } from './context.ts';
import type { Preview } from './context-in-run.ts';

/** What pages show of a node: lists by name, `images` of `FileReference`s among them. */
export type NodeOutput = Readonly<Record<string, readonly (FileReference | unknown)[]>>;

/** Why a workflow ended at a node. */
export interface NodeFailure {
  readonly node: string;
  readonly nodeType: string;
  /** Nodes that ran before, in order. */
  readonly executed: readonly string[];
}

export interface NodeError extends NodeFailure {
  readonly message: string;
  /** `StableDiffusionError` with its code, or the name of another error. */
  readonly exceptionType: string;
  readonly traceback: readonly string[];
  /** The node's inputs as texts, numbers and words for the rest. */
  readonly currentInputs: Readonly<Record<string, readonly unknown[]>>;
  /** Nodes whose values are there. */
  readonly currentOutputs: readonly string[];
  readonly cause: unknown;
}

export type WorkflowEvent =
  | { readonly kind: 'start' }
  /** In the order of the graph. */
  | { readonly kind: 'cached'; readonly nodes: readonly string[] }
  | { readonly kind: 'executing'; readonly node: string }
  | {
      readonly kind: 'progress';
      readonly node: string;
      readonly value: number;
      readonly max: number;
      /** A picture of the state, made when it is called. */
      readonly preview?: Preview | undefined;
    }
  /** A node with something to show; also for one whose output is kept from before, which then has no `executing`. */
  | { readonly kind: 'executed'; readonly node: string; readonly output: NodeOutput }
  | { readonly kind: 'finished'; readonly node: string }
  | { readonly kind: 'success' }
  | ({ readonly kind: 'error' } & NodeError)
  | ({ readonly kind: 'interrupted' } & NodeFailure);
