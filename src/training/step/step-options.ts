/** What a training step is given and gives. */

import type { Engine, EngineState, Tensors } from '../../engine/engine.ts';
import type { Graph } from '../../graph/graph.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import type { AverageConfig } from './exponential-average.ts';
import type { StepRanks } from './gradient-exchange.ts';
import type { OptimiserConfig } from './optimiser.ts';
import type { ParameterGroup } from './parameter-group.ts';

/**
 * How a parameter is treated: `fixed` ones are built into the program; `shared` ones are read from the state but not changed here
 * (another step trains them); the others are trained, with these settings.
 */
export type Treatment = 'fixed' | 'shared' | ParameterGroup;

export interface TrainStepOptions {
  readonly engine: Engine;
  /** A traced loss: its scalar output `loss` is minimised. Other outputs are reported: scalars as metrics, the rest as tensors. */
  readonly graph: Graph;
  readonly weights: WeightSource;
  /** By default every parameter is trained. */
  readonly treatment?: (name: string) => Treatment;
  /** Default AdamW. */
  readonly optimiser?: OptimiserConfig;
  /** Largest norm of all gradients together; larger ones are scaled down (`clip_grad_norm_`). */
  readonly clipNorm?: number;
  /** Exponential averages of the trained parameters, or of those that `of` chooses. */
  readonly average?: AverageConfig & { readonly of?: (name: string) => boolean };
  /** Blocks whose activations are calculated again in the backward pass: `blockOfModule`. */
  readonly checkpoint?: (scope: string) => string | undefined;
  /** The processes that train together: gradients and metrics are means over their batches. Default: this one alone. */
  readonly ranks?: StepRanks;
  /** A state to live in, so that steps can share parameters; by default one of its own. */
  readonly state?: EngineState;
  /** Outputs of the graph that replace tensors of the state after each batch, e.g. running statistics: output → tensor. */
  readonly keep?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface StepOptions {
  /** Learning rate of this step, before a group's factor. */
  readonly learningRate: number;
  readonly signal?: AbortSignal;
}

export interface StepResult {
  readonly loss: number;
  /** Scalar outputs, the loss among them; means over accumulated batches. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Metrics of each accumulated batch. */
  readonly batches: readonly Readonly<Record<string, number>>[];
  /** Outputs that are not scalars, of the last batch. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** The same of each accumulated batch. */
  readonly batchTensors: readonly Readonly<Record<string, Tensor>>[];
  /** Norm of all gradients, before clipping. */
  readonly gradientNorm: number;
}

/** Everything that changes from step to step: tensors by their names in the state, and counts. */
export interface TrainingState {
  readonly tensors: Tensors;
  readonly counts: TrainingCounts;
}

export interface TrainingCounts {
  /** Updates made. */
  readonly steps: number;
  /** Updates of the averages. */
  readonly averageUpdates: number;
}

/** How a parameter is treated: by default trained, with the settings of the optimiser. */
export function treatmentOf(options: TrainStepOptions, name: string): Treatment {
  return options.treatment?.(name) ?? {};
}
