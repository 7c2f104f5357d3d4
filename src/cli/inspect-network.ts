/** One network of a file: its configuration, sizes, missing parameters, and the cost of one run. */

import type { LatentDiffusionConfig } from '../config/latent-diffusion-config.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { count } from '../graph/count.ts';
import { evaluateDim } from '../graph/dim.ts';
import type { Graph } from '../graph/graph.ts';
import { networkDefinition, networkParameters } from '../models/index.ts';
import { nativeLatentSize } from '../model/native-size.ts';
import { elementCount } from '../tensor/tensor.ts';
import { compareParameters, isMatch, type Misshapen } from '../checkpoints/report.ts';
import type { WeightSource } from '../weights/weight-source.ts';

export interface PartReport {
  readonly name: string;
  readonly network: NetworkConfig['kind'];
  /** Parameters that the network needs. */
  readonly parameters: number;
  readonly tensors: number;
  readonly dtypes: Readonly<Record<string, number>>;
  /** True if no parameter is missing, unexpected or of a different shape. */
  readonly fits: boolean;
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly misshapen: readonly Misshapen[];
  readonly ignored: readonly string[];
  /** Floating-point operations of each of its graphs, for one image of the model's native size. */
  readonly flops: Readonly<Record<string, number>>;
  readonly config: NetworkConfig;
}

/** Compares parameters and counts operations, without reading weights. `model` gives the sizes. */
export function inspectNetwork(part: {
  readonly name: string;
  readonly config: NetworkConfig;
  readonly source: WeightSource;
  readonly model?: LatentDiffusionConfig;
}): PartReport {
  const { name, config, source, model } = part;
  const declared = networkParameters(config);
  const report = compareParameters(declared, source);
  const dtypes: Record<string, number> = {};
  for (const { dtype } of source.entries.values()) dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
  const { missing, unexpected, misshapen, ignored } = report;
  return {
    name,
    network: config.kind,
    parameters: declared.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    tensors: source.entries.size,
    dtypes,
    fits: isMatch(report),
    missing,
    unexpected,
    misshapen,
    ignored,
    flops: flopsOf(config, model),
    config,
  };
}

/** The graphs that run to make a picture, without taps and other entry points. */
const counted = new Set(['forward', 'encode', 'decode', 'image', 'text']);

function flopsOf(config: NetworkConfig, model: LatentDiffusionConfig | undefined): Record<string, number> {
  const parts = Object.entries(networkDefinition(config).parts(config)).filter(([graph]) => counted.has(graph));
  return Object.fromEntries(
    parts.flatMap(([graph, trace]) => {
      const flops = evaluated(trace(), sizesFor(config, graph, model));
      return flops === undefined ? [] : [[graph, flops]];
    }),
  );
}

/** The sizes of a graph's symbols for one image. Heights and widths of a UNet are in units of its deepest level. */
function sizesFor(
  config: NetworkConfig,
  graph: string,
  model: LatentDiffusionConfig | undefined,
): ReadonlyMap<string, number> {
  const side = model ? nativeLatentSize(model) : 'image_size' in config ? Number(config.image_size) || 32 : 32;
  const stage = model?.first_stage_config ?? config;
  const factor =
    stage.kind === 'kl' || stage.kind === 'vq'
      ? 2 ** (stage.ddconfig.ch_mult.length - 1)
      : stage.kind === 'taesd'
        ? 8
        : 1;
  const unit = config.kind === 'unet' || config.kind === 'encoder_unet' ? 2 ** (config.channel_mult.length - 1) : 1;
  const units = graph === 'encode' ? side * factor : Math.max(1, Math.round(side / unit));
  return new Map([
    ['batch', 1],
    ['height', units],
    ['width', units],
    ['tokens', model?.cond_stage_max_length ?? 77],
  ]);
}

function evaluated(graph: Graph, sizes: ReadonlyMap<string, number>): number | undefined {
  try {
    return evaluateDim(count(graph).flops, sizes);
  } catch (error) {
    if (error instanceof StableDiffusionError) return undefined;
    throw error;
  }
}
