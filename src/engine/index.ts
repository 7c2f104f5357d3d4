/** The interface of engines. Implementations: `stable-diffusion-ts/engine/node` and `stable-diffusion-ts/engine/web`. */

export type * from './engine.ts';
export { type Precision, type PrecisionName, precisionNames, precisionOf, precisions } from './precision.ts';
