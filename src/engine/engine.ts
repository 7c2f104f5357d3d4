/// <reference lib="esnext.disposable" preserve="true" />

/**
 * Engine: compiles a graph with a source of weights to a Program, and runs it.
 *
 * Only the files of this folder import ONNX Runtime. `node.ts` and `web.ts` implement this interface; one conformance suite runs on both.
 */

import type { Graph } from '../graph/graph.ts';
import type { DType } from '../tensor/dtype.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { Precision, PrecisionName } from './precision.ts';

export type Provider = 'cpu' | 'webgpu' | 'cuda' | 'wasm';

export type Tensors = Readonly<Record<string, Tensor>>;

export interface CompileOptions {
  /** Element types of weights and activations inside the program. Inputs and outputs stay float32. Default float32. */
  readonly precision?: PrecisionName | Precision | undefined;
  /** Parameters are built into the program (fast, fixed) or passed at each run (training): all, or the named ones. Default 'fixed'. */
  readonly parameters?: 'fixed' | 'inputs' | { readonly inputs: ReadonlySet<string> };
  readonly signal?: AbortSignal;
  /** Keep working memory from run to run, which is faster. False for programs of which each is one part of a step. Default true. */
  readonly keepsMemory?: boolean;
  /** Called as weights are read, with the share that is done, 0 … 1. */
  readonly onProgress?: (share: number) => void;
}

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Names of the outputs to return. Default: all. */
  readonly outputs?: readonly string[];
}

/**
 * Tensors that stay in the engine from run to run: trained parameters, an optimiser's moments, averages. Programs read and write them
 * where they are.
 */
export interface EngineState extends AsyncDisposable {
  readonly entries: ReadonlyMap<string, { readonly dtype: DType; readonly shape: Shape }>;
  /** Copies of the named tensors, by default of all. */
  read(names?: readonly string[]): Promise<Record<string, Tensor>>;
  /** Sets new tensors, or replaces tensors with the same type and shape. Copies the values before it returns its promise. */
  write(tensors: Tensors): Promise<void>;
  /**
   * Creates one flat float32 tensor, `pack`, of consecutive members: existing ones with their values, the others as
   * zeros, and zeros between. A program that works element by element then runs once over all of them.
   * @throws `invalid-argument` if there is a tensor `pack` already, or a member lies in another pack
   */
  pack(pack: string, members: Readonly<Record<string, Shape>>): Promise<void>;
  /** Frees tensors; of a pack the pack and all its members. Names that are not there are skipped. */
  remove(names: readonly string[]): Promise<void>;
  dispose(): Promise<void>;
}

/** The inputs and parameters of a program that come from a state, and the outputs that stay there: names in the program to names in the state. */
export interface StateBinding {
  readonly inputs?: Readonly<Record<string, string | StatePart>>;
  /** Tensors that exist; they are overwritten. Bound outputs are not returned. */
  readonly outputs?: Readonly<Record<string, string | StatePart>>;
}

/** Elements start … end - 1 of a tensor of a state, flat. */
export interface StatePart {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** One of several runs: its own tensors and its own places in the state. A program whose input is declared with one dimension takes a state's tensor flat. */
export interface BoundRun extends StateBinding {
  readonly tensors?: Tensors;
}

export interface BoundOptions {
  readonly signal?: AbortSignal;
  /**
   * Lets the program write a tensor of the state while it also reads it. Right only for programs that work element by element and read
   * the old values no more once they make the new ones; saves the memory of the new values. Default false.
   */
  readonly inPlace?: boolean;
}

export interface Program extends AsyncDisposable {
  /** The graph of the program. */
  readonly graph: Graph;
  /**
   * Runs on tensors by input name. Sizes that are symbols in the graph may differ from run to run.
   * @throws `shape-mismatch` for missing inputs and wrong shapes, `aborted`, `engine-failed`
   */
  run(inputs: Tensors, options?: RunOptions): Promise<Record<string, Tensor>>;
  /**
   * Runs once for each of `runs`, in order, on tensors of a state; the results are the outputs that are not bound.
   * @throws as `run`; after an error in the middle, what earlier runs wrote stays written
   */
  runBound(state: EngineState, runs: readonly BoundRun[], options?: BoundOptions): Promise<Record<string, Tensor>[]>;
  /** Frees the program's memory. */
  dispose(): Promise<void>;
}

/** The limits of an engine, so that callers split their work without checking the engine's name. */
export interface EngineLimits {
  /**
   * The most positions of latents (batch · height · width) in one run of a UNet as large as Stable Diffusion's; Infinity where memory alone
   * decides.
   */
  readonly latentPositions: number;
  /** Bytes of memory that a run may still take now. Undefined where the system does not tell. */
  readonly availableMemory?: (() => number) | undefined;
}

export interface Engine extends AsyncDisposable {
  readonly provider: Provider;
  readonly limits: EngineLimits;
  /**
   * @throws `weights-mismatch` if a parameter is missing or has another shape, `engine-failed` if the runtime refuses the graph
   */
  compile(graph: Graph, weights: WeightSource, options?: CompileOptions): Promise<Program>;
  /** An empty state. */
  createState(): EngineState;
  /** Disposes every program and stops the engine. */
  dispose(): Promise<void>;
}
