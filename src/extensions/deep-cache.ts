/**
 * DeepCache (Ma et al. 2024, "DeepCache: Accelerating Diffusion Models for Free", arXiv 2312.00858): between full steps the deep blocks are not
 * run; the shallow ones take what the deep ones made last. `diffusion/cached-network.ts` decides which steps are full.
 */

import type { UNetConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { dim } from '../graph/dim.ts';
import type { Sym } from '../graph/trace.ts';
import type { Extension } from './extension.ts';

/** Name of the full graph's further output, and of the shallow graph's further input. */
export const cachedFeatures = 'cached_features';

interface Depth {
  /** The last block that is not run again: its output is kept. */
  readonly path: string;
  readonly channels: number;
  readonly level: number;
}

/** Blocks of the second half in each level. */
function outputBlocks({ num_res_blocks, channel_mult }: UNetConfig): number[] {
  return channel_mult.map(
    (_, level) => (typeof num_res_blocks === 'number' ? num_res_blocks : (num_res_blocks[level] ?? 0)) + 1,
  );
}

/**
 * The original's branch b: block b / 3, layer b modulo 3, counted from the largest image; the deepest one keeps the middle block alone. Throws
 * `invalid-argument` for one that lies too deep.
 */
function depthOf(config: UNetConfig, branch: number): Depth {
  const counts = outputBlocks(config);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const [block, layer] = [Math.floor(branch / 3), branch % 3];
  const shallow =
    counts.slice(0, block).reduce((sum, count) => sum + count, 0) + Math.min(layer + 1, counts[block] ?? 0);
  if (!Number.isInteger(branch) || branch < 0 || block >= counts.length)
    throw new StableDiffusionError(
      'invalid-argument',
      `DeepCache's branch ${branch} is deeper than this UNet, which has ${counts.length} levels.`,
    );
  const width = (level: number): number => (config.channel_mult[level] ?? 1) * config.model_channels;
  const deepest = counts.length - 1;
  if (shallow >= total) return { path: 'middle_block', channels: width(deepest), level: deepest };
  // Level of the kept output, and of the block after it: the last block of a level doubles the image.
  let index = total - shallow - 1;
  let level = deepest;
  while (index >= (counts[level] as number)) {
    index -= counts[level] as number;
    level -= 1;
  }
  const last = index === (counts[level] as number) - 1;
  return { path: `output_blocks.${total - shallow - 1}`, channels: width(level), level: last ? level - 1 : level };
}

/** The whole network, with what the deep blocks made as a further output. */
export function deepCacheFull(branch: number): Extension {
  return {
    name: `deep-cache full ${branch}`,
    inputs: () => ({}),
    hooks(config) {
      const { path: kept } = depthOf(config, branch);
      let features: Sym | undefined;
      return {
        block(path, run) {
          const out = run();
          if (path === kept) features = out;
          return out;
        },
        outputs: (): Readonly<Record<string, Sym>> => (features ? { [cachedFeatures]: features } : {}),
      };
    },
  };
}

/** The shallow blocks alone, on an input in place of the deep ones. */
export function deepCacheShallow(branch: number): Extension {
  return {
    name: `deep-cache shallow ${branch}`,
    inputs(config, sides) {
      const { channels, level } = depthOf(config, branch);
      return { [cachedFeatures]: { dtype: 'float32', shape: [dim('batch'), channels, ...sides(level)] } };
    },
    hooks: (config, given) => ({
      block: (path, run) => (path === depthOf(config, branch).path ? (given[cachedFeatures] as Sym) : run()),
    }),
  };
}
