/** Checkpoint files: readers, writers, layouts and detection. Files on disk: `stable-diffusion-ts/weights/node`. */

export * from './byte-source.ts';
export * from './byte-source-web.ts';
export * from './canonical.ts';
export * from './checkpoint.ts';
export * from './detect.ts';
export * from './diffusers-checkpoint.ts';
export * from './ema.ts';
export * from './lora/lora-file.ts';
export * from './lora/read-factors.ts';
export * from './lora/with-lora.ts';
export * from './lora/write-lora.ts';
export * from './memory-weights.ts';
export * from './network-weights.ts';
export * from './open-weights.ts';
export * from './rename.ts';
export * from './report.ts';
export * from './safetensors.ts';
export * from './safetensors-write.ts';
export * from './sharded.ts';
export * from './textual-inversion.ts';
export * from './view.ts';
export * from './weight-source.ts';
