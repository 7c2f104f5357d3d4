/** Training of adapters: LoRA, DreamBooth, textual inversion, control networks. */

export { type ControlTrainingOptions, createControlTrainee } from './control.ts';
export type { MapDrawer } from './control-hints.ts';
export * from './dreambooth.ts';
export * from './lora.ts';
export * from './lora-targets.ts';
export * from './textual-inversion.ts';
export * from './train-adapter.ts';
