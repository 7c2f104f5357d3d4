/** Merging checkpoints: weighted sums, differences, spherical interpolation, ratios by block, and an autoencoder baked in. */

export { blockCount, blockOf, blockRatios } from './block-ratios.ts';
export {
  type MergedCheckpoint,
  type MergedKind,
  type MergeMethod,
  type MergeOptions,
  mergeCheckpoints,
  mergedName,
  mergeMethods,
} from './merge-checkpoints.ts';
