/** DeepFloyd IF's UNets: the original's names (a), which are ADM's with those of the text, ⇄ diffusers' `UNet2DConditionModel` (b). */

import { type IfUNetConfig, unetConfigSchema } from '../../config/network-config.ts';
import { layer, type NameMap, type NameRow } from '../rename.ts';
import { unetMap } from './unet.ts';

/** An attention layer over so many channels. Queries, keys and values of a head lie together in a. */
function attention(config: IfUNetConfig, channels: number): NameRow[] {
  const groups = channels / config.num_head_channels;
  const stacked = (a: string, b: readonly string[]): NameRow[] => [
    { a: `${a}.weight`, b: b.map((name) => `${name}.weight`), groups, ones: 1 },
    { a: `${a}.bias`, b: b.map((name) => `${name}.bias`), groups },
  ];
  const queries = config.disable_self_attentions ? ['to_q'] : ['to_q', 'to_k', 'to_v'];
  return [
    ...layer('norm', 'group_norm'),
    ...layer('norm_encoder', 'norm_cross'),
    ...stacked('qkv', queries),
    ...stacked('encoder_kv', ['add_k_proj', 'add_v_proj']),
    { a: 'proj_out.weight', b: 'to_out.0.weight', ones: 1 },
    { a: 'proj_out.bias', b: 'to_out.0.bias' },
  ];
}

/** The map of one architecture. */
export function ifUNetMap(config: IfUNetConfig): NameMap {
  const { in_channels, out_channels, model_channels, channel_mult, num_res_blocks, attention_resolutions } = config;
  const path = unetConfigSchema.parse({
    kind: 'unet',
    ...{ in_channels, out_channels, model_channels, channel_mult, num_res_blocks, attention_resolutions },
    num_head_channels: config.num_head_channels,
    norm_num_groups: config.norm_num_groups,
    resblock_updown: true,
  });
  const { a, b, rows } = unetMap(path, { attention: (channels) => attention(config, channels) });
  const pooling = ['k_proj', 'q_proj', 'v_proj'].flatMap((name) =>
    layer(`encoder_pooling.1.${name}`, `add_embedding.pool.${name}`),
  );
  return {
    a,
    b,
    rows: [
      ...rows,
      ...(config.noise_level
        ? [...layer('aug_proj.0', 'class_embedding.linear_1'), ...layer('aug_proj.2', 'class_embedding.linear_2')]
        : []),
      ...layer('encoder_proj', 'encoder_hid_proj'),
      ...layer('encoder_pooling.0', 'add_embedding.norm1'),
      { a: 'encoder_pooling.1.positional_embedding', b: 'add_embedding.pool.positional_embedding' },
      ...pooling,
      ...layer('encoder_pooling.2', 'add_embedding.proj'),
      ...layer('encoder_pooling.3', 'add_embedding.norm2'),
    ],
  };
}
