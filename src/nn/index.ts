/** Layers of networks: pure functions of a parameter scope and symbolic tensors. */

export * from './act-norm.ts';
export * from './activation.ts';
export * from './attention-block.ts';
export * from './batch-norm.ts';
export * from './clip-layers.ts';
export * from './conv.ts';
export * from './embedding.ts';
export * from './hooks.ts';
export * from './linear.ts';
export * from './norm.ts';
export * from './res-block.ts';
export * from './resample.ts';
export * from './spatial-transformer.ts';
export * from './timestep-embedding.ts';
export * from './tokens.ts';
