/** The interface of engines. Implementations: `stable-diffusion-ts/engine/node` and `stable-diffusion-ts/engine/web`. */

export type * from './engine.ts';
