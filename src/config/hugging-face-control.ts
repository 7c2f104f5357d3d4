/** `config.json` of diffusers' ControlNetModel and T2IAdapter. */

import { listOf, refuseOthers } from './hugging-face-fields.ts';
import { unetFromDiffusers } from './hugging-face-unet.ts';
import {
  type ControlNetConfig,
  controlNetConfigSchema,
  type T2IAdapterConfig,
  t2iAdapterConfigSchema,
} from './network-config.ts';
import { configError, type Mapping, validated } from './validate.ts';

/** Throws `config-invalid`, naming the field that is not supported. */
export function controlNetFromDiffusers(json: Mapping, what: string): ControlNetConfig {
  refuseOthers(json, { controlnet_conditioning_channel_order: ['rgb'] }, what);
  const down = listOf(json, 'down_block_types', 'string', what);
  const up = down.map((type) => type.replace('Down', 'Up')).toReversed();
  const { attention_type: _, ...fields } = json;
  const unet = unetFromDiffusers({ ...fields, up_block_types: up, out_channels: json['in_channels'] ?? 4 }, what);
  // Every width but the last has two convolutions.
  const widths = json['conditioning_embedding_out_channels'] ?? [16, 32, 96, 256];
  const hint_widths = Array.isArray(widths)
    ? widths.flatMap((width, i) => (i < widths.length - 1 ? [width, width] : [width]))
    : widths;
  return validated(
    controlNetConfigSchema,
    { kind: 'controlnet', unet, hint_channels: json['conditioning_channels'] ?? 3, hint_widths },
    what,
  );
}

/** diffusers counts one channel fewer for light adapters: the last level has the width of the one before it. */
export function t2iAdapterFromDiffusers(json: Mapping, what: string): T2IAdapterConfig {
  const type = json['adapter_type'] ?? 'full_adapter';
  const ownType = new Map<unknown, T2IAdapterConfig['adapter_type']>([
    ['full_adapter', 'full'],
    ['full_adapter_xl', 'full_xl'],
    ['light_adapter', 'light'],
  ]).get(type);
  if (!ownType)
    throw configError(
      `${what}: an adapter of the type ${JSON.stringify(type)} is not supported; full_adapter, full_adapter_xl and light_adapter are.`,
    );
  const isLight = ownType === 'light';
  const channels = listOf(json, 'channels', 'number', what);
  return validated(
    t2iAdapterConfigSchema,
    {
      kind: 't2i_adapter',
      adapter_type: ownType,
      in_channels: json['in_channels'] ?? 3,
      channels: isLight ? [...channels, channels.at(-1)] : channels,
      num_res_blocks: json['num_res_blocks'] ?? 2,
      downscale_factor: json['downscale_factor'] ?? (ownType === 'full_xl' ? 16 : 8),
    },
    what,
  );
}
