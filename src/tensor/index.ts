/** Tensors: element types, shapes, conversion, and the arithmetic that samplers need. */

export * from './arithmetic.ts';
export * from './batches.ts';
export * from './convert.ts';
export * from './dtype.ts';
export * from './tensor.ts';
