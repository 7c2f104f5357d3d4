/** The library on every platform. `index.ts` (Node) and `index-web.ts` (browsers) add loading of models and images. */

export type { SamplerName, ScheduleName } from './diffusion/name-literals.ts';
export type { Engine, Program } from './engine/engine.ts';
export { type ErrorCode, StableDiffusionError } from './errors.ts';
export type { Image } from './image/image.ts';
export type { GeneratedImage, Pipeline, PipelineEvent } from './pipelines/events.ts';
export { generate } from './pipelines/generate.ts';
export { imageToImage } from './pipelines/image-to-image.ts';
export { inpaint } from './pipelines/inpaint.ts';
export { pictures, type PicturesOptions } from './pipelines/pictures.ts';
export { Model, type ModelOptions } from './model/model.ts';
export type { ControlOption, ImagePromptOption } from './generation/control-inputs.ts';
export type { ControlModel } from './model/control-model.ts';
export type {
  GenerateOptions,
  ImageToImageOptions,
  InpaintOptions,
  TaskOptions,
  TextToImageOptions,
} from './generation/inputs.ts';
export { type GenerationRecord, recordSchema, replayRequest, requestOf } from './generation/record.ts';
export { recordInfotext } from './generation/record-infotext.ts';
export { type GenerationRequest, type GenerationRequestInput, requestSchema, type Task } from './generation/request.ts';
export { textToImage } from './pipelines/text-to-image.ts';
