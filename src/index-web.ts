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
export { webImageCodec } from './image/codec-web.ts';
export { loadModel, type LoadModelOptions, type ModelFile } from './pipelines/load-model-web.ts';
export {
  connectWorker,
  type ModelWorker,
  type WorkerGenerateOptions,
  type WorkerLoadOptions,
  type WorkerPort,
} from './pipelines/worker-client-web.ts';
export { serveWorker, type WorkerHostOptions, type WorkerScope } from './pipelines/worker-host-web.ts';
export type {
  LoadProgress,
  ModelFacts,
  WorkerEvent,
  WorkerImage,
  WorkerJob,
  WorkerModelOptions,
} from './pipelines/worker-protocol-web.ts';
