/** The architecture of networks that act on a UNet, from names and shapes: ControlNet, T2I-Adapter, IP-Adapter's image projection. */

import {
  type ControlNetConfig,
  controlNetConfigSchema,
  type IpAdapterConfig,
  ipAdapterConfigSchema,
  type T2IAdapterConfig,
  t2iAdapterConfigSchema,
  type GligenConfig,
  gligenConfigSchema,
  type T2IStyleConfig,
  t2iStyleConfigSchema,
} from '../../config/network-config.ts';
import { axis, countOf, type Entries, hasPrefix, type Inferred, inferred, shapeOf } from './shapes.ts';
import { inferCompVisUNet, inferDiffusersUNet } from './unet.ts';

export function isControlNet(entries: Entries): boolean {
  return entries.has('input_hint_block.0.weight') && entries.has('zero_convs.0.0.weight');
}

export function isDiffusersControlNet(entries: Entries): boolean {
  return entries.has('controlnet_cond_embedding.conv_in.weight') && entries.has('controlnet_mid_block.weight');
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

export function inferDiffusersControlNet(entries: Entries): Inferred<ControlNetConfig> {
  const what = 'ControlNet';
  const { config: unet, assumed } = inferDiffusersUNet(entries);
  const embedding = 'controlnet_cond_embedding.';
  const hint_channels = axis(entries, `${embedding}conv_in.weight`, 4, 1, what);
  const blocks = countOf(entries, `${embedding}blocks.`, what);
  const names = ['conv_in', ...Array.from({ length: blocks }, (_, i) => `blocks.${i}`)];
  const hint_widths = names.map((name) => axis(entries, `${embedding}${name}.weight`, 4, 0, what));
  return {
    config: inferred(controlNetConfigSchema, { kind: 'controlnet', unet, hint_channels, hint_widths }, what),
    assumed,
  };
}

const adapterName = 'T2I-Adapter';

export function isT2IAdapter(entries: Entries): boolean {
  return (
    entries.has('conv_in.weight') &&
    ['body.0.block1.weight', 'body.0.resnets.0.block1.weight'].some((name) => entries.has(name))
  );
}

export function isLightT2IAdapter(entries: Entries): boolean {
  return entries.has('body.0.in_conv.weight') && entries.has('body.0.out_conv.weight');
}

/**
 * Two blocks a level in TencentARC's names, and squares of 8 pixels, as every published one: neither leaves a trace in the shapes. SDXL's
 * have squares of 16, so 256 inputs (one channel) or 768 (three), by which ComfyUI knows them too (`load_t2i_adapter`).
 */
export function inferT2IAdapter(entries: Entries): Inferred<T2IAdapterConfig> {
  const what = adapterName;
  const isDiffusers = entries.has('body.0.resnets.0.block1.weight');
  const [, inputs = 0] = shapeOf(entries, 'conv_in.weight', 4, what);
  const isXl = inputs === 256 || inputs === 768;
  const factor = isXl ? 16 : 8;
  const count = countOf(entries, 'body.', what);
  const blocks = isDiffusers ? countOf(entries, 'body.0.resnets.', what) : 2;
  const firstOf = (level: number): string => (isDiffusers ? `body.${level}.resnets.0` : `body.${2 * level}`);
  const channels = Array.from({ length: isDiffusers ? count : count / 2 }, (_, level) =>
    axis(entries, `${firstOf(level)}.block1.weight`, 4, 0, what),
  );
  const config = inferred(
    t2iAdapterConfigSchema,
    {
      kind: 't2i_adapter',
      adapter_type: isXl ? 'full_xl' : 'full',
      in_channels: inputs / factor ** 2,
      channels,
      num_res_blocks: blocks,
      downscale_factor: factor,
    },
    what,
  );
  return { config, assumed: [...(isDiffusers ? [] : ['num_res_blocks 2']), `downscale_factor ${factor}`] };
}

export function inferLightT2IAdapter(entries: Entries): Inferred<T2IAdapterConfig> {
  const what = adapterName;
  const [, inputs = 0] = shapeOf(entries, 'body.0.in_conv.weight', 4, what);
  const levels = countOf(entries, 'body.', what);
  const inner = hasPrefix(entries, 'body.0.resnets.') ? 'body.0.resnets.' : 'body.0.body.';
  const config = inferred(
    t2iAdapterConfigSchema,
    {
      kind: 't2i_adapter',
      adapter_type: 'light',
      in_channels: inputs / 64,
      channels: Array.from({ length: levels }, (_, level) =>
        axis(entries, `body.${level}.out_conv.weight`, 4, 0, what),
      ),
      num_res_blocks: countOf(entries, inner, what),
    },
    what,
  );
  return { config, assumed: ['downscale_factor 8'] };
}

export function isT2IStyle(entries: Entries): boolean {
  return entries.has('style_embedding') && entries.has('transformer_layes.0.attn.in_proj_weight');
}

/** Eight heads, as the published one. */
export function inferT2IStyle(entries: Entries): Inferred<T2IStyleConfig> {
  const what = 'T2I style adapter';
  const [, num_tokens, width] = shapeOf(entries, 'style_embedding', 3, what);
  const config = inferred(
    t2iStyleConfigSchema,
    {
      kind: 't2i_style',
      width,
      context_dim: axis(entries, 'proj', 2, 1, what),
      num_layers: countOf(entries, 'transformer_layes.', what),
      num_tokens,
    },
    what,
  );
  return { config, assumed: ['num_heads 8'] };
}

export function isGligen(entries: Entries): boolean {
  return entries.has('position_net.null_positive_feature') && entries.has('position_net.linears.4.weight');
}

export function inferGligen(entries: Entries): Inferred<GligenConfig> {
  const what = 'GLIGEN';
  const config = inferred(
    gligenConfigSchema,
    {
      kind: 'gligen',
      context_dim: axis(entries, 'position_net.null_positive_feature', 1, 0, what),
      position_dim: axis(entries, 'position_net.null_position_feature', 1, 0, what),
      width: axis(entries, 'position_net.linears.0.weight', 2, 0, what),
    },
    what,
  );
  return { config, assumed: [] };
}

const ipName = 'IP-Adapter';

export function isIpAdapter(entries: Entries): boolean {
  return ['proj.weight', 'proj.0.weight', 'latents'].some((name) => entries.has(`image_proj.${name}`));
}

/** The projection by its keys: `latents` is the resampler, a norm as `proj.3` the full model's, `proj.0` with a norm of its own FaceID's. */
export function inferIpAdapter(entries: Entries): Inferred<IpAdapterConfig> {
  if (entries.has('image_proj.latents')) return inferResampler(entries);
  const kind = 'ip_adapter';
  if (entries.has('image_proj.proj.3.weight')) {
    const [context, embeddings] = shapeOf(entries, 'image_proj.proj.2.weight', 2, ipName);
    const values = { kind, projection: 'mlp', clip_embeddings_dim: embeddings, cross_attention_dim: context };
    return { config: inferred(ipAdapterConfigSchema, values, ipName), assumed: [] };
  }
  const isFace = entries.has('image_proj.proj.0.weight');
  const [width = 0] = shapeOf(entries, isFace ? 'image_proj.proj.2.weight' : 'image_proj.proj.weight', 2, ipName);
  const embeddings = axis(entries, isFace ? 'image_proj.proj.0.weight' : 'image_proj.proj.weight', 2, 1, ipName);
  const context = axis(entries, 'image_proj.norm.weight', 1, 0, ipName);
  const config = inferred(
    ipAdapterConfigSchema,
    {
      kind,
      projection: isFace ? 'face' : 'linear',
      clip_embeddings_dim: embeddings,
      cross_attention_dim: context,
      num_tokens: width / context,
    },
    ipName,
  );
  return { config, assumed: [] };
}

/** Heads of 64 channels: the original knows no others. */
function inferResampler(entries: Entries): Inferred<IpAdapterConfig> {
  const [, num_tokens, width] = shapeOf(entries, 'image_proj.latents', 3, ipName);
  const inner = axis(entries, 'image_proj.layers.0.0.to_q.weight', 2, 0, ipName);
  const config = inferred(
    ipAdapterConfigSchema,
    {
      kind: 'ip_adapter',
      projection: 'resampler',
      clip_embeddings_dim: axis(entries, 'image_proj.proj_in.weight', 2, 1, ipName),
      cross_attention_dim: axis(entries, 'image_proj.proj_out.weight', 2, 0, ipName),
      num_tokens,
      width,
      depth: countOf(entries, 'image_proj.layers.', ipName),
      heads: inner / 64,
      dim_head: 64,
    },
    ipName,
  );
  return { config, assumed: ['dim_head 64'] };
}
