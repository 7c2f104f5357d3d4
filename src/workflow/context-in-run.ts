/** NodeContext: the workflow's context as one node sees it in one run. */

import type { Image } from '../image/image.ts';
import type { WorkflowContext } from './context.ts';
import type { ApiGraph } from './graph.ts';

/** A picture of the state of the work, made only where somebody looks. */
export type Preview = () => Promise<Image>;

export interface NodeContext extends WorkflowContext {
  readonly nodeId: string;
  /** The whole graph, as pictures keep it. */
  readonly prompt: ApiGraph;
  /** What a page sends along for pictures: `workflow`, and whatever else. */
  readonly extraPngInfo: Readonly<Record<string, unknown>> | undefined;
  readonly signal: AbortSignal | undefined;
  /** Reports `value` of `max`. */
  readonly progress: (value: number, max: number, preview?: Preview) => void;
  /** Whether an input of a class is a FLOAT: pictures keep its whole numbers as `1.0`. */
  readonly isFloatInput: (classType: string, input: string) => boolean;
  /** Kept for the node over runs, by its place in the graph: a random name, a counter. */
  readonly memory: Map<string, unknown>;
}
