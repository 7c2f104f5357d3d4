/** Training of adapters: LoRA, DreamBooth, textual inversion. */

export * from './dreambooth.ts';
export * from './lora.ts';
export * from './lora-targets.ts';
export * from './textual-inversion.ts';
export * from './train-adapter.ts';
