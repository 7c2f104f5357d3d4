/** The architecture of networks that act on a UNet, from names and shapes: ControlNet, T2I-Adapter, IP-Adapter's image projection. */

import {
  type ControlNetConfig,
  controlNetConfigSchema,
  type IpAdapterConfig,
  ipAdapterConfigSchema,
  type T2IAdapterConfig,
  t2iAdapterConfigSchema,
} from '../../config/network-config.ts';
import { axis, countOf, type Entries, type Inferred, inferred, shapeOf } from './shapes.ts';
import { inferCompVisUNet } from './unet.ts';

export function isControlNet(entries: Entries): boolean {
  return entries.has('input_hint_block.0.weight') && entries.has('zero_convs.0.0.weight');
}

/** Channels of the hint's convolutions but the last: every second module of `input_hint_block` is one. */
export function hintWidths(entries: Entries): number[] {
  const modules = countOf(entries, 'input_hint_block.', 'ControlNet', 'allow');
  return Array.from({ length: (modules - 1) / 2 }, (_, i) =>
    axis(entries, `input_hint_block.${2 * i}.weight`, 4, 0, 'ControlNet'),
  );
}

export function inferControlNet(entries: Entries): Inferred<ControlNetConfig> {
  const { config: unet, assumed } = inferCompVisUNet(entries);
  const hint_channels = axis(entries, 'input_hint_block.0.weight', 4, 1, 'ControlNet');
  const config = inferred(
    controlNetConfigSchema,
    { kind: 'controlnet', unet, hint_channels, hint_widths: hintWidths(entries) },
    'ControlNet',
  );
  return { config, assumed };
}

export function isT2IAdapter(entries: Entries): boolean {
  return entries.has('body.0.block1.weight') && entries.has('conv_in.weight');
}

/** Two blocks a level and squares of 8 pixels, as every published one: neither leaves a trace in the shapes. */
export function inferT2IAdapter(entries: Entries): Inferred<T2IAdapterConfig> {
  const what = 'T2I-Adapter';
  const count = countOf(entries, 'body.', what);
  const [, inputs = 0] = shapeOf(entries, 'conv_in.weight', 4, what);
  const config = inferred(
    t2iAdapterConfigSchema,
    {
      kind: 't2i_adapter',
      in_channels: inputs / 64,
      channels: Array.from({ length: count / 2 }, (_, level) =>
        axis(entries, `body.${2 * level}.block1.weight`, 4, 0, what),
      ),
    },
    what,
  );
  return { config, assumed: ['num_res_blocks 2', 'downscale_factor 8'] };
}

export function isIpAdapter(entries: Entries): boolean {
  return entries.has('image_proj.proj.weight') && entries.has('image_proj.norm.weight');
}

export function inferIpAdapter(entries: Entries): Inferred<IpAdapterConfig> {
  const what = 'IP-Adapter';
  const [width = 0, embeddings] = shapeOf(entries, 'image_proj.proj.weight', 2, what);
  const context = axis(entries, 'image_proj.norm.weight', 1, 0, what);
  const config = inferred(
    ipAdapterConfigSchema,
    {
      kind: 'ip_adapter',
      clip_embeddings_dim: embeddings,
      cross_attention_dim: context,
      num_tokens: width / context,
    },
    what,
  );
  return { config, assumed: [] };
}
