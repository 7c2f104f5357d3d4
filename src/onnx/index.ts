/** Graph to ONNX model. */

export { type EmitOptions, emitOnnx } from './emit.ts';
export type { ParameterStorage } from './emitter.ts';
export type { ExternalData } from './model.ts';
