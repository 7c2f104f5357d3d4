/**
 * Engine: compiles a graph with a source of weights to a Program, and runs it.
 *
 * Only the files of this folder import ONNX Runtime. `node.ts` and `web.ts` implement this interface; one conformance suite runs on both.
 */

import type { Graph } from '../graph/graph.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';

export type Provider = 'cpu' | 'webgpu' | 'cuda' | 'wasm';

export type Tensors = Readonly<Record<string, Tensor>>;

export interface CompileOptions {
  /** Element type of weights and activations inside the program. Inputs and outputs stay float32. Default float32. */
  readonly precision?: 'float32' | 'float16';
  /** Parameters built into the program (fast, fixed) or given anew at each run (training). Default 'fixed'. */
  readonly parameters?: 'fixed' | 'inputs';
  readonly signal?: AbortSignal;
  /** Called as weights are read, with the share that is done, 0 … 1. */
  readonly onProgress?: (share: number) => void;
}

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Names of the outputs wanted; all by default. */
  readonly outputs?: readonly string[];
}

export interface Program extends AsyncDisposable {
  /** The graph the program was made from. */
  readonly graph: Graph;
  /**
   * Runs on tensors by input name. Sizes that are symbols in the graph may differ from run to run.
   * @throws `shape-mismatch` for missing inputs and wrong shapes, `aborted`, `engine-failed`
   */
  run(inputs: Tensors, options?: RunOptions): Promise<Record<string, Tensor>>;
  /** Frees the program's memory. */
  dispose(): Promise<void>;
}

export interface Engine extends AsyncDisposable {
  readonly provider: Provider;
  /**
   * @throws `weights-mismatch` if a parameter is missing or has another shape, `engine-failed` if the runtime refuses the graph
   */
  compile(graph: Graph, weights: WeightSource, options?: CompileOptions): Promise<Program>;
  /** Disposes every program and stops the engine. */
  dispose(): Promise<void>;
}
