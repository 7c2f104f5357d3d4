/**
 * Stable Diffusion in TypeScript, in Node.
 *
 * @example
 * const model = await loadModel('model.safetensors');
 * for await (const event of textToImage(model, { prompt: 'a red apple' })) {
 *   if (event.kind === 'result') await saveImage('apple.png', event.images[0]);
 * }
 */

export * from './core.ts';
export { createNodeEngine, type NodeEngineOptions } from './engine/node.ts';
export { nodeImageCodec } from './image/codec/codec-node.ts';
export { loadModel, type LoadModelOptions, pocketModel } from './model/load-model-node.ts';
export { openImage, saveImage } from './pipelines/image-files-node.ts';
