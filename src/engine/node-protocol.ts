/** Messages between the engine on the main thread and ONNX Runtime in its worker thread. */

import type { Tensor } from '../tensor/tensor.ts';
import type { WeightBuffer } from './weights.ts';

export interface SessionSettings {
  readonly provider: 'cpu' | 'webgpu' | 'cuda';
  /** Threads within one operation; 0 leaves it to the runtime. */
  readonly threads: number;
  /** Folder of weight files used in place. */
  readonly folder: string | undefined;
  /** The program has several segments. */
  readonly oneOfMany: boolean;
}

export type Request =
  | { readonly kind: 'weights'; readonly program: number; readonly buffer: WeightBuffer }
  /** Adds a segment to a program, from its model and the weights that have arrived since the one before. */
  | { readonly kind: 'compile'; readonly program: number; readonly model: Uint8Array; readonly settings: SessionSettings }
  /** Runs a program's segments in order. `cancel` is shared memory: set to 1, the run stops before its next segment. */
  | { readonly kind: 'run'; readonly program: number; readonly feeds: Readonly<Record<string, Tensor>>; readonly outputs: readonly string[]; readonly cancel: Int32Array }
  | { readonly kind: 'dispose'; readonly program: number };

export interface RequestMessage {
  readonly id: number;
  readonly request: Request;
}

export type ResponseMessage =
  | { readonly id: number; readonly outputs?: Record<string, Tensor> }
  | { readonly id: number; readonly error: string };
