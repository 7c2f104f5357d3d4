/** Checkpoint files: readers, writers, layouts and detection. Files on disk: `stable-diffusion-ts/weights/node`. */

export * from '../files/byte-source.ts';
export * from '../files/byte-source-web.ts';
export * from './canonical.ts';
export * from './assembled-config.ts';
export * from './checkpoint.ts';
export * from './detect.ts';
export * from './diffusers.ts';
export * from './ema.ts';
export * from '../weights/memory-weights.ts';
export * from './network-weights.ts';
export * from '../formats/open-weights.ts';
export * from './rename.ts';
export * from './report.ts';
export * from '../formats/safetensors.ts';
export * from '../formats/safetensors-write.ts';
export * from '../formats/sharded.ts';
export * from '../weights/view.ts';
export * from '../weights/weight-source.ts';
