/** Architectures of UNets over pixels from names and shapes: DDPM's own, and that of denoising-diffusion-pytorch. */

import {
  type DdpmUNetConfig,
  ddpmUNetConfigSchema,
  type LucidUNetConfig,
  lucidUNetConfigSchema,
} from '../../config/network-config.ts';
import { axis, countOf, type Entries, hasPrefix, type Inferred, inferred, multiple, shapeOf } from './shapes.ts';

export const isDdpmUNet = (entries: Entries): boolean =>
  entries.has('temb.dense.0.weight') && entries.has('down.0.block.0.conv1.weight');

/** Sides are nominal: only which level has attention matters. */
const nominalSide = 256;

export function inferDdpmUNet(entries: Entries): Inferred<DdpmUNetConfig> {
  const what = "DDPM's UNet";
  const ch = axis(entries, 'temb.dense.0.weight', 2, 1, what);
  const levels = Array.from({ length: countOf(entries, 'down.', what) }, (_, level) => level);
  const attention = entries.has('mid.attn_1.to_qkv.weight') ? 'linear' : 'vanilla';
  const config = inferred(
    ddpmUNetConfigSchema,
    {
      kind: 'ddpm_unet',
      ch,
      out_ch: axis(entries, 'conv_out.weight', 4, 0, what),
      in_channels: axis(entries, 'conv_in.weight', 4, 1, what),
      ch_mult: levels.map((level) =>
        multiple(axis(entries, `down.${level}.block.0.conv1.weight`, 4, 0, what), ch, what),
      ),
      num_res_blocks: countOf(entries, 'down.0.block.', what),
      attn_resolutions: levels
        .filter((level) => hasPrefix(entries, `down.${level}.attn.`))
        .map((level) => Math.floor(nominalSide / 2 ** level)),
      resolution: nominalSide,
      resamp_with_conv: levels.length === 1 || entries.has('down.0.downsample.conv.weight'),
      attn_type: hasPrefix(entries, 'mid.attn_1.') ? attention : 'none',
    },
    what,
  );
  return { config, assumed: [`resolution ${nominalSide}`] };
}

export const isLucidUNet = (entries: Entries): boolean =>
  entries.has('init_conv.weight') && entries.has('downs.0.0.block1.proj.weight');

export function inferLucidUNet(entries: Entries): Inferred<LucidUNetConfig> {
  const what = "denoising-diffusion-pytorch's UNet";
  const dim = axis(entries, 'time_mlp.3.weight', 2, 0, what) / 4;
  const levels = Array.from({ length: countOf(entries, 'downs.', what) }, (_, level) => level);
  const isLinear = (level: number): boolean => entries.has(`downs.${level}.2.to_out.0.weight`);
  const memoryAt = (level: number) => shapeOf(entries, `downs.${level}.2.mem_kv`, 4, what);
  const given = axis(entries, 'init_conv.weight', 4, 1, what);
  const made = axis(entries, 'final_conv.weight', 4, 0, what);
  const channels = Math.min(given, made);
  const fourier = entries.get('time_mlp.0.weights')?.shape[0];
  const config = inferred(
    lucidUNetConfigSchema,
    {
      kind: 'lucid_unet',
      dim,
      init_dim: axis(entries, 'init_conv.weight', 4, 0, what),
      dim_mults: levels.map((level) => {
        const name = `downs.${level}.3${level < levels.length - 1 ? '.1' : ''}.weight`;
        return multiple(axis(entries, name, 4, 0, what), dim, what);
      }),
      channels,
      self_condition: given === 2 * channels,
      learned_variance: made === 2 * channels,
      ...(fourier ? { learned_sinusoidal_cond: true, learned_sinusoidal_dim: 2 * fourier } : {}),
      full_attn: levels.map((level) => !isLinear(level)),
      attn_heads: levels.map((level) => memoryAt(level)[1]),
      attn_dim_head: levels.map((level) => memoryAt(level)[isLinear(level) ? 2 : 3]),
    },
    what,
  );
  return { config, assumed: given === made && given % 2 === 0 ? [`channels ${channels}`] : [] };
}
