/** Graph to ONNX model. */

export { emitOnnx } from './emit.ts';
export type { EmitOptions } from './emitter.ts';
export type { ExternalData } from './model.ts';
export type { ParameterStorage } from './stored-parameters.ts';
