/** Emitter: what the lowerings of one graph write to and read from. */

import type { Graph } from '../graph/graph.ts';
import type { OnnxBuilder } from './onnx-builder.ts';
import type { Shapes } from './shapes.ts';
import type { ParameterStorage, StoredParameters } from './stored-parameters.ts';
import type { Values } from './values.ts';

export interface EmitOptions {
  /** Element type the graph's float32 values have in the model. Inputs and outputs stay float32. */
  readonly compute?: 'float32' | 'float16';
  /** Locations of the parameters. Without it they are inputs of the model, after the graph's own. */
  readonly parameters?: ParameterStorage;
  /** Names of parameters that are inputs of the model although others are not. */
  readonly given?: ReadonlySet<string>;
  /** Attention of one head wider than this is written as products and a softmax: ONNX Runtime's own kernel counts its work in 32 bits on WASM. */
  readonly widestFusedHead?: number;
  /** False: all attention is written as products and a softmax, for devices on which ONNX Runtime's kernel is wrong. Default true. */
  readonly fusedAttention?: boolean;
  /** Channels of a pixel that the runtime's direct convolutions keep together on this processor: convolutions with given weights make use of them. */
  readonly imageBlock?: number;
  /** Parameters of another element type than the model's are kept so, and converted in each run; otherwise once, when the model is loaded. */
  readonly convertInRuns?: boolean;
  /** True if runs may request the end mark, because all their outputs are written to the caller's buffers. */
  readonly endMark?: boolean;
}

export interface Emitter {
  readonly graph: Graph;
  readonly options: EmitOptions;
  /** The nodes and constants of the model. */
  readonly onnx: OnnxBuilder;
  /** The graph's values by their names in the model. */
  readonly values: Values;
  /** Sizes as tensors of the model. */
  readonly shapes: Shapes;
  readonly parameters: StoredParameters;
}
