/** What the library offers on every platform. `index.ts` (Node) and `index-web.ts` (browsers) add how models and images are read there. */

export type { Engine, Program } from './engine/engine.ts';
export { type ErrorCode, StableDiffusionError } from './errors.ts';
export type { Image } from './image/image.ts';
export type { GeneratedImage, Pipeline, PipelineEvent } from './pipelines/events.ts';
export type { GenerateOptions } from './pipelines/generate.ts';
export { imageToImage, type ImageToImageOptions } from './pipelines/image-to-image.ts';
export { inpaint, type InpaintOptions } from './pipelines/inpaint.ts';
export { Model, type ModelOptions } from './model/model.ts';
export { type GenerationRecord, recordInfotext, recordSchema } from './pipelines/record.ts';
export { textToImage, type TextToImageOptions } from './pipelines/text-to-image.ts';
