/**
 * Stable Diffusion in TypeScript.
 *
 * This entry is browser-safe; `stable-diffusion-ts/node` adds what needs Node: the engine, files and sharp.
 */

export type { Engine, Program } from './engine/engine.ts';
export { type ErrorCode, StableDiffusionError } from './errors.ts';
export type { GeneratedImage, Pipeline, PipelineEvent } from './pipelines/events.ts';
export type { GenerateOptions } from './pipelines/generate.ts';
export { imageToImage, type ImageToImageOptions } from './pipelines/image-to-image.ts';
export { inpaint, type InpaintOptions } from './pipelines/inpaint.ts';
export { Model, type ModelOptions } from './pipelines/model.ts';
export { type GenerationRecord, recordInfotext, recordSchema } from './pipelines/record.ts';
export { textToImage, type TextToImageOptions } from './pipelines/text-to-image.ts';
