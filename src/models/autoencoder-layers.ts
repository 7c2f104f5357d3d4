/** Encoder and decoder of the first stage (`ldm.modules.diffusionmodules.model.Encoder`, `Decoder`; Esser et al. 2021), shared by KL and VQ. */

import type { DDConfig } from '../config/network-config.ts';
import { multiplyDims } from '../graph/dim.ts';
import { add, attention, chunk, matmul, reshape, silu, softmax, tanh } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { dropout } from '../nn/dropout.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import type { UNetHooks } from '../nn/hooks.ts';
import { linearLayer } from '../nn/linear.ts';
import { groupNormLayer } from '../nn/norm.ts';
import { autoencoderDownsample, upsample } from '../nn/resample.ts';
import { toImage, toTokens } from '../nn/tokens.ts';

/** The sizes of the first stage, and what its convolutions are padded with in place of zeros. */
export interface StageConfig extends DDConfig {
  readonly pad?: UNetHooks['padding'];
}

/** `Normalize`: the first stage's epsilon is 1e-6 everywhere. */
export function norm(p: Params, x: Sym, config: Pick<BlockConfig, 'norm_num_groups'>): Sym {
  return groupNormLayer(p, x, { groups: config.norm_num_groups, epsilon: 1e-6 });
}

/** What the blocks read of a configuration. */
export type BlockConfig = Pick<StageConfig, 'norm_num_groups' | 'dropout' | 'attn_type' | 'pad'>;

/** `ResnetBlock`: x [b, c, h, w] → [b, out, h, w]. `embedding` [b, e] of the timestep, in DDPM's network. */
export function resnetBlock(p: Params, x: Sym, out: number, config: BlockConfig, embedding?: Sym): Sym {
  return p.module(() => {
    let h = convLayer(p.at('conv1'), silu(norm(p.at('norm1'), x, config)), out, { kernel: 3, pad: config.pad });
    if (embedding) {
      const projected = linearLayer(p.at('temb_proj'), silu(embedding), out);
      h = add(h, reshape(projected, [projected.shape[0] ?? 1, out, 1, 1]));
    }
    h = dropout(p.at('dropout'), silu(norm(p.at('norm2'), h, config)), config.dropout);
    h = convLayer(p.at('conv2'), h, out, { kernel: 3, pad: config.pad });
    return add(fixedSize(x, 1) === out ? x : convLayer(p.at('nin_shortcut'), x, out, { kernel: 1 }), h);
  });
}

/** `AttnBlock`: one head over all pixels, 1x1 convolutions around it, added to x. */
function vanillaAttention(p: Params, x: Sym, config: BlockConfig): Sym {
  const channels = fixedSize(x, 1);
  const normed = norm(p.at('norm'), x, config);
  const [q, k, v] = ['q', 'k', 'v'].map((name) => toTokens(convLayer(p.at(name), normed, channels, { kernel: 1 }))) as [
    Sym,
    Sym,
    Sym,
  ];
  return add(x, convLayer(p.at('proj_out'), toImage(attention(q, k, v, { heads: 1 }), x), channels, { kernel: 1 }));
}

/** `LinAttnBlock` (Shen et al. 2021), with one head; it has no norm and is not added to x. */
function linearAttention(p: Params, x: Sym): Sym {
  const channels = fixedSize(x, 1);
  const [b = 1, , h = 1, w = 1] = x.shape;
  const joint = convLayer(p.at('to_qkv'), x, 3 * channels, { kernel: 1, bias: false });
  const [q, k, v] = chunk(reshape(joint, [b, 3 * channels, multiplyDims(h, w)]), 1, 3) as [Sym, Sym, Sym]; // [b, c, pixels]
  const context = matmul(softmax(k, -1), v, { transposeB: true }); // [b, c of k, c of v]
  const attended = matmul(context, q, { transposeA: true }); // [b, c of v, pixels]
  return convLayer(p.at('to_out'), reshape(attended, [b, channels, h, w]), channels, { kernel: 1 });
}

export function attentionLayer(p: Params, x: Sym, config: BlockConfig): Sym {
  if (config.attn_type === 'none') return p.mark(x);
  return p.module(() => (config.attn_type === 'linear' ? linearAttention(p, x) : vanillaAttention(p, x, config)));
}

/** `mid`: residual block, attention, residual block. */
function middle(p: Params, x: Sym, config: StageConfig): Sym {
  const channels = fixedSize(x, 1);
  const h = attentionLayer(p.at('attn_1'), resnetBlock(p.at('block_1'), x, channels, config), config);
  return resnetBlock(p.at('block_2'), h, channels, config);
}

/** The nominal resolution of each level, which `attn_resolutions` names; the image itself may have any size. */
function resolutions(config: StageConfig): number[] {
  const sides: number[] = [];
  for (let side = config.resolution; sides.length < config.ch_mult.length; side = Math.floor(side / 2))
    sides.push(side);
  return sides;
}

/** Image [b, in_channels, h, w] → [b, z_channels (twice with double_z), h / f, w / f] with f = 2^(levels - 1), rounded down at each level. */
export function encoder(p: Params, config: StageConfig, image: Sym): Sym {
  const sides = resolutions(config);
  return p.module(() => {
    let h = convLayer(p.at('conv_in'), image, config.ch, { kernel: 3, pad: config.pad });
    for (const [level, multiplier] of config.ch_mult.entries()) {
      const scope = p.at('down').at(level);
      for (let i = 0; i < config.num_res_blocks; i++) {
        h = resnetBlock(scope.at('block').at(i), h, config.ch * multiplier, config);
        if (config.attn_resolutions.includes(sides[level] ?? 0)) h = attentionLayer(scope.at('attn').at(i), h, config);
      }
      if (level < config.ch_mult.length - 1)
        h = autoencoderDownsample(scope.at('downsample'), h, config.resamp_with_conv);
    }
    h = silu(norm(p.at('norm_out'), middle(p.at('mid'), h, config), config));
    return convLayer(p.at('conv_out'), h, config.double_z ? 2 * config.z_channels : config.z_channels, {
      kernel: 3,
      pad: config.pad,
    });
  });
}

/** z [b, z_channels, h, w] → image [b, out_ch, f · h, f · w]. */
export function decoder(p: Params, config: StageConfig, z: Sym): Sym {
  // The decoder counts its resolutions up from the lowest one.
  const lowest = Math.floor(config.resolution / 2 ** (config.ch_mult.length - 1));
  return p.module(() => {
    let h = convLayer(p.at('conv_in'), z, config.ch * (config.ch_mult.at(-1) ?? 1), { kernel: 3, pad: config.pad });
    h = middle(p.at('mid'), h, config);
    for (let level = config.ch_mult.length - 1; level >= 0; level--) {
      const scope = p.at('up').at(level);
      const side = lowest * 2 ** (config.ch_mult.length - 1 - level);
      for (let i = 0; i <= config.num_res_blocks; i++) {
        h = resnetBlock(scope.at('block').at(i), h, config.ch * (config.ch_mult[level] ?? 1), config);
        if (config.attn_resolutions.includes(side)) h = attentionLayer(scope.at('attn').at(i), h, config);
      }
      if (level > 0) h = upsample(scope.at('upsample'), h, config.resamp_with_conv, { pad: config.pad });
    }
    if (config.give_pre_end) return h;
    h = convLayer(p.at('conv_out'), silu(norm(p.at('norm_out'), h, config)), config.out_ch, {
      kernel: 3,
      pad: config.pad,
    });
    return config.tanh_out ? tanh(h) : h;
  });
}
