/** Messages between the engine on the main thread and ONNX Runtime in its worker thread. */

import type { Tensor } from '../tensor/tensor.ts';
import type { WeightBuffer } from './weights.ts';

export interface SessionSettings {
  readonly provider: 'cpu' | 'webgpu' | 'cuda';
  /** Threads within one operation; 0 leaves it to the runtime. */
  readonly threads: number;
  /** Folder of weight files used in place. */
  readonly folder: string | undefined;
}

export type Request =
  | { readonly kind: 'weights'; readonly program: number; readonly buffer: WeightBuffer }
  | { readonly kind: 'compile'; readonly program: number; readonly model: Uint8Array; readonly settings: SessionSettings }
  | { readonly kind: 'run'; readonly program: number; readonly feeds: Readonly<Record<string, Tensor>>; readonly outputs: readonly string[] }
  | { readonly kind: 'dispose'; readonly program: number };

export interface RequestMessage {
  readonly id: number;
  readonly request: Request;
}

export type ResponseMessage =
  | { readonly id: number; readonly outputs?: Record<string, Tensor> }
  | { readonly id: number; readonly error: string };
