/**
 * IP-Adapter's files (b: `ip_adapter.N.to_k_ip.weight`) ⇄ parameters of a UNet's attentions (a: `….attn2.to_k_ip.0.weight`).
 *
 * N counts the attentions, two a transformer block, in the order of diffusers' `unet.attn_processors`: down, up, middle.
 */

import type { UNetConfig } from '../../config/network-config.ts';
import type { NameMap } from '../rename.ts';
import { unetMap } from './unet.ts';

const attention = /^(.*\.transformer_blocks\.\d+\.attn2)\.to_k\.weight$/;

/** The map for the UNet that the adapter belongs to. `index` is its number among the adapters of that UNet. */
export function ipAdapterMap(unet: UNetConfig, index = 0): NameMap {
  const sites = unetMap(unet).rows.flatMap(({ a }) => attention.exec(a)?.[1] ?? []);
  const group = (start: string): string[] => sites.filter((site) => site.startsWith(start));
  const order = [...group('input_blocks.'), ...group('output_blocks.'), ...group('middle_block.')];
  return {
    a: 'compvis',
    b: 'ip-adapter',
    rows: order.flatMap((site, i) =>
      ['to_k_ip', 'to_v_ip'].map((name) => ({
        a: `${site}.${name}.${index}.weight`,
        b: `ip_adapter.${2 * i + 1}.${name}.weight`,
      })),
    ),
  };
}
