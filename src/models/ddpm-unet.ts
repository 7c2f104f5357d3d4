/**
 * DDPM's own UNet (`ldm.modules.diffusionmodules.model.Model`; Ho et al. 2020): the autoencoder's blocks with an embedding of the timestep,
 * and skip connections.
 */

import type { DdpmUNetConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { dim, multiplyDims } from '../graph/dim.ts';
import { concat, silu } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { linearLayer } from '../nn/linear.ts';
import { autoencoderDownsample, upsample } from '../nn/resample.ts';
import { sinesFirstEmbedding } from '../nn/timestep-embedding.ts';
import { attentionLayer, norm, resnetBlock } from './autoencoder-layers.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

export interface DdpmUNetInputs {
  /** [b, in_channels, h, w], or fewer channels with a context. */
  readonly x: Sym;
  /** float32 [b]; needed with `use_timestep`. */
  readonly timesteps?: Sym | undefined;
  /** Joined to x along the channels. */
  readonly context?: Sym | undefined;
}

function timeEmbedding(p: Params, { ch }: DdpmUNetConfig, timesteps: Sym | undefined): Sym {
  if (!timesteps) throw new StableDiffusionError('invalid-argument', 'This network needs timesteps.');
  const scope = p.at('temb.dense');
  const hidden = linearLayer(scope.at(0), sinesFirstEmbedding(timesteps, ch), 4 * ch);
  return linearLayer(scope.at(1), silu(hidden), 4 * ch);
}

/** → [b, out_ch, h, w]; height and width divisible by 2^(levels - 1). */
export function ddpmUNet(p: Params, config: DdpmUNetConfig, { x, timesteps, context }: DdpmUNetInputs): Sym {
  const { ch, ch_mult, num_res_blocks, attn_resolutions, resamp_with_conv } = config;
  const last = ch_mult.length - 1;
  const sides = ch_mult.map((_, level) => Math.floor(config.resolution / 2 ** level));
  const attends = (level: number): boolean => attn_resolutions.includes(sides[level] as number);
  const widthAt = (level: number): number => ch * (ch_mult[level] as number);
  const embedding = config.use_timestep ? timeEmbedding(p, config, timesteps) : undefined;
  const block = (scope: Params, value: Sym, out: number): Sym => resnetBlock(scope, value, out, config, embedding);
  const skips = [convLayer(p.at('conv_in'), context ? concat([x, context], 1) : x, ch, { kernel: 3 })];
  const top = (): Sym => skips.at(-1) as Sym;
  for (let level = 0; level <= last; level++) {
    const scope = p.at('down').at(level);
    for (let i = 0; i < num_res_blocks; i++) {
      const h = block(scope.at('block').at(i), top(), widthAt(level));
      skips.push(attends(level) ? attentionLayer(scope.at('attn').at(i), h, config) : h);
    }
    if (level < last) skips.push(autoencoderDownsample(scope.at('downsample'), top(), resamp_with_conv));
  }
  const mid = p.at('mid');
  let h = block(mid.at('block_1'), top(), widthAt(last));
  h = block(mid.at('block_2'), attentionLayer(mid.at('attn_1'), h, config), widthAt(last));
  for (let level = last; level >= 0; level--) {
    const scope = p.at('up').at(level);
    for (let i = 0; i <= num_res_blocks; i++) {
      h = block(scope.at('block').at(i), concat([h, skips.pop() as Sym], 1), widthAt(level));
      if (attends(level)) h = attentionLayer(scope.at('attn').at(i), h, config);
    }
    if (level > 0) h = upsample(scope.at('upsample'), h, resamp_with_conv);
  }
  return convLayer(p.at('conv_out'), silu(norm(p.at('norm_out'), h, config)), config.out_ch, { kernel: 3 });
}

/** x [batch, in_channels, height, width], timesteps float32 [batch] → out. */
export function traceDdpmUNet(config: DdpmUNetConfig, options?: NetworkTraceOptions): Graph {
  const unit = 2 ** (config.ch_mult.length - 1);
  const batch = dim('batch');
  return traceNetwork(
    {
      x: {
        dtype: 'float32',
        shape: [batch, config.in_channels, multiplyDims(unit, dim('height')), multiplyDims(unit, dim('width'))],
      },
      timesteps: { dtype: 'float32', shape: [batch] },
    },
    (p, given) => ({ out: ddpmUNet(p, config, { x: need(given, 'x'), timesteps: given['timesteps'] }) }),
    options,
  );
}
