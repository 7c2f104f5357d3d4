/**
 * The patch discriminator of PatchGAN (Isola et al. 2017; `taming.modules.discriminator.model.NLayerDiscriminator`): one logit for each
 * overlapping patch of an image.
 */

import type { DiscriminatorConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { leakyRelu } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { actNorm, type ActNormState, actNormTraining } from '../nn/act-norm.ts';
import { type BatchStatistics, batchNorm, batchNormFixed } from '../nn/batch-norm.ts';
import { convLayer } from '../nn/conv.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** Buffers that a forward pass in training updates, by parameter name: running statistics; initially loc and scale. */
export type Buffers = ReadonlyMap<string, Sym>;

export interface Discriminated {
  /** [b, 1, h', w']: positive for images that seem real. */
  readonly logits: Sym;
  /** In training, the buffers after this pass. */
  readonly buffers: Buffers;
}

export interface DiscriminatorOptions {
  /** With the statistics of the batch (`train()`) or with running ones (`eval()`). */
  readonly training: boolean;
  /** Buffers of an earlier pass in the same graph, which replace those of the weights. */
  readonly buffers?: Buffers;
  /** Ranks over whose batches statistics are taken in training. Default 1. */
  readonly ranks?: number | undefined;
}

/** Names of the buffers of a discriminator: parameters that no optimiser trains. */
export const isDiscriminatorBuffer = (name: string): boolean =>
  /\.(?:running_mean|running_var|num_batches_tracked|initialized)$/.test(name);

interface Normalised {
  readonly y: Sym;
  readonly updated: Readonly<Record<string, Sym>>;
}

function batchNormLayer(
  p: Params,
  x: Sym,
  buffer: (name: string, shape: readonly number[]) => Sym,
  { training, ranks = 1 }: DiscriminatorOptions,
): Normalised {
  const width = fixedSize(x, 1);
  const [weight, bias] = [p.get('weight', [width]), p.get('bias', [width])];
  const running: BatchStatistics = { mean: buffer('running_mean', [width]), variance: buffer('running_var', [width]) };
  if (!training) return { y: batchNormFixed(x, running, weight, bias, 1e-5), updated: {} };
  const { y, updated } = batchNorm(x, weight, bias, { epsilon: 1e-5, running, ranks });
  return { y, updated: updated ? { running_mean: updated.mean, running_var: updated.variance } : {} };
}

function actNormLayer(x: Sym, buffer: (name: string, shape: readonly number[]) => Sym, training: boolean): Normalised {
  const shape = [1, fixedSize(x, 1), 1, 1];
  const [loc, scale] = [buffer('loc', shape), buffer('scale', shape)];
  if (!training) return { y: actNorm(x, { loc, scale }), updated: {} };
  const state: ActNormState = { loc, scale, initialized: buffer('initialized', []) };
  const { y, updated } = actNormTraining(x, state);
  return { y, updated: { ...updated } };
}

/** x [b, input_nc, h, w] → logits, and what the pass changes. */
export function discriminator(
  p: Params,
  config: DiscriminatorConfig,
  x: Sym,
  options: DiscriminatorOptions,
): Discriminated {
  const { ndf, n_layers, use_actnorm } = config;
  const buffers = new Map(options.buffers);
  const main = p.at('main');
  let index = 0;
  const conv = (input: Sym, out: number, stride: number, bias: boolean): Sym =>
    convLayer(main.at(index++), input, out, { kernel: 4, stride, padding: 1, bias });
  const norm = (input: Sym): Sym => {
    const scope = main.at(index++);
    return scope.module(() => {
      const nameOf = (name: string): string => [p.prefix, scope.path, name].filter(Boolean).join('.');
      const buffer = (name: string, shape: readonly number[]): Sym =>
        buffers.get(nameOf(name)) ?? scope.get(name, shape);
      const { y, updated } = use_actnorm
        ? actNormLayer(input, buffer, options.training)
        : batchNormLayer(scope, input, buffer, options);
      for (const [name, value] of Object.entries(updated)) buffers.set(nameOf(name), value);
      return y;
    });
  };
  const activate = (input: Sym): Sym => main.at(index++).mark(leakyRelu(input, 0.2));
  let h = activate(conv(x, ndf, 2, true));
  for (let layer = 1; layer <= n_layers; layer++) {
    h = activate(norm(conv(h, ndf * Math.min(2 ** layer, 8), layer < n_layers ? 2 : 1, use_actnorm)));
  }
  return { logits: conv(h, 1, 1, true), buffers };
}

/** x [batch, input_nc, height, width] → out [batch, 1, height', width'], in evaluation. */
export function traceDiscriminator(config: DiscriminatorConfig, options?: NetworkTraceOptions): Graph {
  return traceNetwork(
    { x: { dtype: 'float32', shape: [dim('batch'), config.input_nc, dim('height'), dim('width')] } },
    (p, given) => ({ out: discriminator(p, config, need(given, 'x'), { training: false }).logits }),
    options,
  );
}

/** Training mode: `train.out`, and the buffers after the pass as `train.NAME`. */
export function traceDiscriminatorTraining(config: DiscriminatorConfig, options: NetworkTraceOptions = {}): Graph {
  const x = { dtype: 'float32', shape: [dim('batch'), config.input_nc, dim('height'), dim('width')] } as const;
  const prefix = options.prefix ? `${options.prefix}.` : '';
  return traceNetwork(
    { x },
    (p, given) => {
      const { logits, buffers } = discriminator(p, config, need(given, 'x'), { training: true });
      const updated = [...buffers]
        .filter(([name]) => !name.endsWith('.initialized'))
        .map(([name, value]): [string, Sym] => [`train.${name.slice(prefix.length)}`, value]);
      return { 'train.out': logits, ...Object.fromEntries(updated) };
    },
    options,
  );
}
