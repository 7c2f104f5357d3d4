/** LoRA files and textual inversions: reading, writing, and merging into weights. */

export * from './lora/lora-file.ts';
export * from './lora/read-factors.ts';
export * from './lora/with-lora.ts';
export * from './lora/write-lora.ts';
export * from './textual-inversion.ts';
