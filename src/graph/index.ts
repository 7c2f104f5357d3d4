/** Graphs: the operations networks are written in, tracing, symbolic dimensions. */

export * from './dim.ts';
export * from './functions.ts';
export * from './graph.ts';
export * from './operations.ts';
export * from './partition.ts';
export * from './trace.ts';
