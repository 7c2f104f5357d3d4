/** Checkpoint files on disk. */

export * from './byte-source-node.ts';
export * from './open-checkpoint-node.ts';
export * from './open-weights-node.ts';
export * from './write-file-node.ts';
