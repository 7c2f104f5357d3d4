/**
 * Stable Diffusion in TypeScript, in browsers. In a worker the page's thread stays free: `serveWorker` there, `connectWorker` on the page.
 *
 * @example
 * const model = await loadModel('/models/pocket.safetensors');
 * for await (const event of textToImage(model, { prompt: 'red apple' })) {
 *   if (event.kind === 'result') show(event.images[0]);
 * }
 */

export * from './core.ts';
export { createWebEngine, type WebEngineOptions } from './engine/web.ts';
export { webImageCodec } from './image/codec/codec-web.ts';
export { loadModel, type LoadModelOptions, type ModelFile } from './model/load-model-web.ts';
export {
  connectWorker,
  type ModelWorker,
  type WorkerGenerateOptions,
  type WorkerLoadOptions,
  type WorkerPort,
} from './worker/client-web.ts';
export { serveWorker, type WorkerHostOptions, type WorkerScope } from './worker/host-web.ts';
export type {
  LoadProgress,
  ModelFacts,
  WorkerEvent,
  WorkerImage,
  WorkerJob,
  WorkerModelOptions,
} from './worker/protocol-web.ts';
