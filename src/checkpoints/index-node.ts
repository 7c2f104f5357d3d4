/** Checkpoint files on disk. */

export * from '../files/byte-source-node.ts';
export * from './open-checkpoint-node.ts';
export * from '../formats/open-weights-node.ts';
export * from '../files/write-file-node.ts';
