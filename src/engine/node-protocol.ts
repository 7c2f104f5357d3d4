/** Messages between the engine on the main thread and ONNX Runtime in its worker thread. */

import type { DType } from '../tensor/dtype.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';
import type { Crossing } from './crossing.ts';
import type { StatePlace } from './feeds.ts';
import type { ThreadGuard } from './thread-guard.ts';
import type { WeightBuffer } from './weights.ts';

/** Start options of the worker thread. */
export interface WorkerOptions {
  /** Compute below the priority of other threads. */
  readonly background: boolean;
  readonly guard: ThreadGuard;
}

export interface SessionSettings {
  readonly provider: 'cpu' | 'webgpu' | 'cuda';
  /** Threads within one operation; 0 leaves it to the runtime. */
  readonly threads: number;
  /** How much the runtime rewrites the graph when it loads it. */
  readonly optimisation: 'all' | 'basic';
  /** Folder of weight files used in place. */
  readonly folder: string | undefined;
  /** Number of segments of the program. */
  readonly segments: 'one' | 'few' | 'many';
}

export type Request =
  | { readonly kind: 'weights'; readonly program: number; readonly buffer: WeightBuffer }
  /** Adds a segment to a program, from its model and the weights that have arrived since the one before. */
  | {
      readonly kind: 'compile';
      readonly program: number;
      readonly model: Uint8Array;
      readonly settings: SessionSettings;
    }
  /** Runs a program's segments in order. `cancel` is shared memory: set to 1, the run stops before its next segment. */
  | {
      readonly kind: 'run';
      readonly program: number;
      readonly feeds: Readonly<Record<string, Tensor>>;
      readonly outputs: readonly string[];
      readonly crossings: readonly Crossing[];
      readonly cancel: Int32Array;
    }
  /** Runs a program of one segment once for each of `runs`, on tensors of a state. */
  | {
      readonly kind: 'run-bound';
      readonly program: number;
      readonly state: number;
      readonly runs: readonly BoundRequest[];
      readonly inPlace: boolean;
      readonly cancel: Int32Array;
    }
  | { readonly kind: 'dispose'; readonly program: number }
  /** Sets tensors of a state, creating it if needed. */
  | { readonly kind: 'write-state'; readonly state: number; readonly tensors: Readonly<Record<string, Tensor>> }
  /** Moves tensors into one flat tensor of `length` elements, each to its offset; missing ones are zeros. */
  | {
      readonly kind: 'pack-state';
      readonly state: number;
      readonly pack: string;
      readonly length: number;
      readonly members: readonly { readonly name: string; readonly shape: Shape; readonly start: number }[];
    }
  | { readonly kind: 'read-state'; readonly state: number; readonly names: readonly string[] }
  | { readonly kind: 'remove-state'; readonly state: number; readonly names: readonly string[] }
  | { readonly kind: 'dispose-state'; readonly state: number }
  /** Answered when all requests before it are done: the thread may be ended. */
  | { readonly kind: 'end' };

export interface BoundRequest {
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly inputs: readonly (readonly [input: string, place: StatePlace])[];
  readonly outputs: readonly (readonly [output: string, place: StatePlace])[];
  /** Outputs that are returned, with their shapes where they are known. */
  readonly wanted: readonly WantedOutput[];
}

export interface WantedOutput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape?: Shape;
}

export interface RequestMessage {
  readonly id: number;
  readonly request: Request;
}

export type ResponseMessage =
  | { readonly id: number; readonly results: readonly Record<string, Tensor>[] }
  | { readonly id: number; readonly error: string };
