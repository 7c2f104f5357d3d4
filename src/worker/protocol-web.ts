/**
 * The messages between a page and its worker. All are plain data that `postMessage` copies; pixels and
 * files are transferred. `worker-client-web.ts` and `worker-host-web.ts` are the two ends.
 */

import type { PrecisionName } from '../engine/precision.ts';
import type { Recommendation } from '../config/recommended-settings.ts';
import type { ErrorCode } from '../errors.ts';
import type { Image } from '../image/image.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { CheckpointKind } from '../checkpoints/assembled-config.ts';
import type { EmbeddingName, LoraStrength } from '../model/adapters.ts';
import type { GeneratedImage, PipelineEvent } from '../pipelines/events.ts';
import type { TaskOptions } from '../generation/inputs.ts';
import type { ModelTask } from '../model/model-tasks.ts';

/** The model to load, and the device. */
export interface WorkerModelOptions {
  readonly file: Blob | string;
  /** Default 'wasm'. */
  readonly provider?: 'wasm' | 'webgpu';
  /** Address of ONNX Runtime's .wasm and .mjs files, ending in '/'. */
  readonly wasmPath?: string;
  readonly threads?: number;
  readonly precision?: PrecisionName;
  /** The text of LDM's YAML. */
  readonly config?: string;
  readonly ema?: boolean;
  /** The text of BERT's vocab.txt. */
  readonly vocabulary?: string;
  readonly taesd?: Blob | string;
  /** LoRA files, merged as the weights are read. */
  readonly loras?: readonly (LoraStrength & { readonly file: Blob | string })[];
  /** Textual inversion files. */
  readonly embeddings?: readonly (EmbeddingName & { readonly file: Blob | string })[];
}

/** The facts about a model that a page needs to offer the right settings. */
export interface ModelFacts {
  readonly label: string;
  readonly kind: CheckpointKind;
  /** Native size of its pictures in pixels per side. */
  readonly nativeSize: number;
  /** Sides are multiples of this. */
  readonly sizeUnit: number;
  readonly provider: string;
  readonly precision: PrecisionName;
  /** The model's own defaults of a request, and examples of prompts. */
  readonly recommendation: Recommendation;
  readonly takesPrompt: boolean;
  /** True if it supports `promptSyntax: 'a1111'`, that is, its text encoder is CLIP's. */
  readonly readsPromptSyntax: boolean;
  /** What the model can make. */
  readonly tasks: readonly ModelTask[];
  readonly hasSafetyChecker: boolean;
  /** Settings that the file does not state, with the assumed value. */
  readonly assumed: readonly string[];
}

type WithoutFunctions<T> = T extends unknown
  ? Omit<T, 'signal' | 'sampler'> & { readonly sampler?: string | undefined }
  : never;

/** A task and its options, without those that cannot be copied: the signal stays on the page's side, and a sampler is named. */
export type WorkerJob = WithoutFunctions<TaskOptions>;

export interface WorkerImage extends GeneratedImage {
  /** A PNG file with the settings in it. */
  readonly png: Uint8Array<ArrayBuffer>;
}

/** A pipeline's events, with previews made and pictures encoded. */
export type WorkerEvent =
  | Extract<PipelineEvent, { readonly kind: 'stage' }>
  | (Omit<Extract<PipelineEvent, { readonly kind: 'step' }>, 'latent' | 'denoised' | 'preview'> & {
      readonly preview?: readonly Image<3>[];
    })
  | { readonly kind: 'images'; readonly iteration: number; readonly images: readonly WorkerImage[] }
  | { readonly kind: 'result'; readonly latents: Tensor<'float32'>; readonly startNoise: Tensor<'float32'> };

/** A network's weights are being read, `share` of them so far. */
export interface LoadProgress {
  readonly share: number;
}

/** `id` is the call that a message belongs to; the model is that of the last `load`. */
export type WorkerRequest = { readonly id: number } & (
  | { readonly kind: 'load'; readonly options: WorkerModelOptions }
  | { readonly kind: 'generate'; readonly job: WorkerJob; readonly previews: boolean }
  | { readonly kind: 'abort' }
  | { readonly kind: 'unload' }
);

export type WorkerReply = { readonly id: number } & (
  | { readonly kind: 'progress'; readonly progress: LoadProgress }
  | { readonly kind: 'event'; readonly event: WorkerEvent }
  | { readonly kind: 'done'; readonly facts?: ModelFacts }
  | {
      readonly kind: 'error';
      readonly code: ErrorCode;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    }
);
